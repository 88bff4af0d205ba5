/// The parts of a URL that say where to connect and what to ask for.
struct Endpoint: Sendable, Hashable {
  /// In lower case.
  let scheme: String
  /// `user:password` as written, if given.
  let userInfo: String?
  /// A name or address, an IPv6 address without its brackets.
  let host: String
  /// Given, or the scheme's default.
  let port: Int
  /// What the `Host` header says: the port only if the URL gives one.
  let hostHeader: String
  /// Path and query exactly as written, at least `/`, without a fragment.
  let target: String

  /// Takes `url` apart.
  /// - Throws: ``TransportError`` with code `badURL` if it is no URL of one of `schemes` (scheme to default port).
  init(_ url: String, schemes: [String: Int]) throws(TransportError) {
    func bad(_ problem: String) -> TransportError { TransportError(.badURL, "\(url): \(problem)") }
    // Bytes: to find the characters of a text is slow, and these are ASCII.
    let bytes = Array(url.utf8)
    func text(_ part: ArraySlice<UInt8>) -> String { String(decoding: part, as: UTF8.self) }
    guard bytes.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
      throw bad("blanks and control characters must be percent-encoded")
    }
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), bytes[colon...].starts(with: "://".utf8) else {
      throw bad("not an absolute URL")
    }
    scheme = text(bytes[..<colon]).lowercased()
    guard let defaultPort = schemes[scheme] else {
      throw bad("the scheme must be one of \(schemes.keys.sorted().joined(separator: ", "))")
    }
    let rest = bytes[(colon + 3)...]
    var authority = rest.prefix { !"/?#".utf8.contains($0) }
    let target = rest[authority.endIndex...].prefix { $0 != UInt8(ascii: "#") }
    self.target = target.first == UInt8(ascii: "/") ? text(target) : "/" + text(target)
    let at = authority.lastIndex(of: UInt8(ascii: "@"))
    userInfo = at.map { text(authority[..<$0]) }
    if let at { authority = authority[(at + 1)...] }
    hostHeader = text(authority)
    if authority.first == UInt8(ascii: "["), let bracket = authority.firstIndex(of: UInt8(ascii: "]")) {
      host = text(authority[..<bracket].dropFirst())
      authority = authority[(bracket + 1)...]
    } else {
      let name = authority.prefix { $0 != UInt8(ascii: ":") }
      host = text(name)
      authority = authority[name.endIndex...]
    }
    guard !host.isEmpty else { throw bad("it names no host") }
    switch text(authority) {
    case "", ":": port = defaultPort
    case let given:
      guard given.hasPrefix(":"), let number = UInt16(given.dropFirst()), number > 0 else {
        throw bad("the port must be a number from 1 to 65535")
      }
      port = Int(number)
    }
  }

  /// Whether TLS is spoken.
  var isSecure: Bool { scheme == "https" || scheme == "wss" }

  /// Host and port for messages.
  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
