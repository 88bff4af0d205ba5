/// A web UI as an entry of HOST names it (protocol §1.2).
package struct WebUIAddress: Sendable, Hashable, CustomStringConvertible {
  /// As written: how the web UI is named in messages, settings and sections of workers.ini.
  package let entry: String
  /// `http` or `https`.
  package let scheme: String
  /// Host name or address, an IPv6 one in brackets.
  package let host: String
  /// Nil for the scheme's own.
  package let port: Int?
  /// Whether the entry is a URL rather than `host[:port]`.
  package let isURL: Bool

  /// Reads `host[:port]`, which means http, or a URL.
  /// - Throws: ``ConfigurationError`` for anything else.
  package init(_ entry: String) throws(ConfigurationError) {
    func unusable(_ problem: String) -> ConfigurationError {
      // What stands before an @ is a password more often than not.
      let shown = entry.lastIndex(of: "@").map { "…\(entry[$0...])" } ?? entry
      return ConfigurationError("HOST entry '\(shown)': \(problem); write host, host:port or http[s]://host[:port]")
    }
    var rest = Substring(entry)
    var scheme = "http"
    if let range = entry.firstRange(of: "://") {
      scheme = entry[..<range.lowerBound].lowercased()
      rest = entry[range.upperBound...]
      isURL = true
    } else {
      isURL = false
    }
    guard scheme == "http" || scheme == "https" else { throw unusable("unknown scheme '\(scheme)'") }
    rest = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard !rest.contains("@") else { throw unusable("credentials belong into client.conf") }
    var port: Int?
    if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("]") {
      guard let number = Int(rest[rest.index(after: colon)...]), (1...65535).contains(number) else {
        throw unusable("unusable port")
      }
      port = number
      rest = rest[..<colon]
    }
    guard !rest.isEmpty, rest.allSatisfy({ $0.isASCII && !$0.isWhitespace }) else { throw unusable("no host name") }
    let isBracketed = rest.hasPrefix("[") && rest.hasSuffix("]")
    guard isBracketed || !rest.contains(where: { "[]:".contains($0) }) else {
      throw unusable("an IPv6 address stands in brackets")
    }
    self.entry = entry
    self.scheme = scheme
    self.host = String(rest)
    self.port = port
  }

  package var description: String { entry }

  /// `http://host:port`, without a path.
  package var origin: String { "\(scheme)://\(authority)" }

  /// Host and port without scheme and path: OPENQA_HOSTNAME.
  package var authority: String { port.map { "\(host):\($0)" } ?? host }

  /// The name of this web UI's folder in a cache.
  package var baseHost: String { isURL ? host : entry }

  /// Whether the web UI runs on this very host.
  package var isLocal: Bool { ["localhost", "127.0.0.1", "[::1]"].contains(isURL ? host : entry) }
}
