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
    guard url.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
      throw bad("blanks and control characters must be percent-encoded")
    }
    guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else {
      throw bad("not an absolute URL")
    }
    scheme = url[..<colon].lowercased()
    guard let defaultPort = schemes[scheme] else {
      throw bad("the scheme must be one of \(schemes.keys.sorted().joined(separator: ", "))")
    }
    let rest = url[colon...].dropFirst(3)
    var authority = rest.prefix { !"/?#".contains($0) }
    let target = rest[authority.endIndex...].prefix { $0 != "#" }
    self.target = target.hasPrefix("/") ? String(target) : "/" + target
    userInfo = authority.lastIndex(of: "@").map { String(authority[..<$0]) }
    if let at = authority.lastIndex(of: "@") { authority = authority[at...].dropFirst() }
    hostHeader = String(authority)
    if authority.hasPrefix("["), let bracket = authority.firstIndex(of: "]") {
      host = String(authority[..<bracket].dropFirst())
      authority = authority[bracket...].dropFirst()
    } else {
      let name = authority.prefix { $0 != ":" }
      host = String(name)
      authority = authority[name.endIndex...]
    }
    guard !host.isEmpty else { throw bad("it names no host") }
    switch authority {
    case "", ":": port = defaultPort
    default:
      guard authority.hasPrefix(":"), let number = UInt16(authority.dropFirst()), number > 0 else {
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
