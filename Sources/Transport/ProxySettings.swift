import Glibc

/// Which proxy to use for which host.
public struct ProxySettings: Sendable, Hashable {
  /// No proxy for anybody.
  public static let none = ProxySettings([:])

  private let proxies: [String: String]
  private let exceptions: [Substring]

  /// What the process's environment says: `http_proxy` (`http`, `ws`), `https_proxy` (`https`, `wss`), `all_proxy` for
  /// both, and `no_proxy`, a comma-separated list of hosts, domains, `host:port` or `*`. The names may be in upper case.
  public static func environment() -> ProxySettings {
    var environment: [String: String] = [:]
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
      for spelling in [name, name.uppercased()] where environment[spelling] == nil {
        environment[spelling] = getenv(spelling).map { String(cString: $0) }
      }
    }
    return ProxySettings(environment)
  }

  /// The settings in `environment`, whose keys are as in ``environment()``.
  public init(_ environment: [String: String]) {
    func value(_ name: String) -> String? {
      let value = environment[name] ?? environment[name.uppercased()]
      return value?.isEmpty == true ? nil : value
    }
    var proxies: [String: String] = [:]
    proxies["http"] = value("http_proxy") ?? value("all_proxy")
    proxies["https"] = value("https_proxy") ?? value("all_proxy")
    self.proxies = proxies
    exceptions = (value("no_proxy") ?? "").lowercased().split { $0 == "," || $0 == " " }
  }

  /// The proxy's URL for `endpoint`, or `nil` to connect directly.
  func proxy(for endpoint: Endpoint) -> String? {
    let scheme = ["ws": "http", "wss": "https"][endpoint.scheme] ?? endpoint.scheme
    guard let proxy = proxies[scheme] else { return nil }
    let host = endpoint.host.lowercased()
    for exception in exceptions {
      if exception == "*" { return nil }
      var name = exception
      if let colon = name.lastIndex(of: ":"), let port = Int(name[colon...].dropFirst()), !host.contains(":") {
        if port != endpoint.port { continue }
        name = name[..<colon]
      }
      if name.hasPrefix("[") && name.hasSuffix("]") { name = name.dropFirst().dropLast() }
      if name.hasPrefix(".") { name = name.dropFirst() }
      if name.isEmpty { continue }
      if host == name || host.hasSuffix("." + name) { return nil }
    }
    return proxy
  }
}
