import Testing

@testable import Transport

struct EndpointTests {
  private let schemes = ["http": 80, "https": 443]

  @Test(arguments: [
    ("http://host", "host", 80, "host", "/"),
    ("HTTPS://Host.Example:8443/a?b=c#d", "Host.Example", 8443, "Host.Example:8443", "/a?b=c"),
    ("http://host?x", "host", 80, "host", "/?x"),
    ("http://host:/", "host", 80, "host:", "/"),
    ("http://[::1]:81/x", "::1", 81, "[::1]:81", "/x"),
    ("http://user:p@ss@host/x", "host", 80, "host", "/x"),
    ("http://host/%2F//../", "host", 80, "host", "/%2F//../"),
  ])
  func parts(url: String, host: String, port: Int, header: String, target: String) throws {
    let endpoint = try Endpoint(url, schemes: schemes)
    #expect(endpoint.host == host)
    #expect(endpoint.port == port)
    #expect(endpoint.hostHeader == header)
    #expect(endpoint.target == target)
  }

  @Test func userInfo() throws {
    #expect(try Endpoint("http://user:p@ss@host/x", schemes: schemes).userInfo == "user:p@ss")
    #expect(try Endpoint("http://host/x@y", schemes: schemes).userInfo == nil)
  }
}

struct ProxySettingsTests {
  private func proxy(_ environment: [String: String], _ url: String) throws -> String? {
    let endpoint = try Endpoint(url, schemes: ["http": 80, "https": 443, "ws": 80, "wss": 443])
    return ProxySettings(environment).proxy(for: endpoint)
  }

  @Test func schemesHaveTheirProxies() throws {
    let environment = ["http_proxy": "http://a:1", "HTTPS_PROXY": "b:2"]
    #expect(try proxy(environment, "http://host/") == "http://a:1")
    #expect(try proxy(environment, "ws://host/") == "http://a:1")
    #expect(try proxy(environment, "https://host/") == "b:2")
    #expect(try proxy(environment, "wss://host/") == "b:2")
    #expect(try proxy(["all_proxy": "c:3"], "wss://host/") == "c:3")
    #expect(try proxy(["http_proxy": ""], "http://host/") == nil)
    #expect(try proxy([:], "http://host/") == nil)
  }

  @Test(arguments: [
    ("host.example", true), ("HOST.example", true), ("example", true), (".example", true), ("other,host.example", true),
    ("other host.example", true), ("*", true), ("host.example:80", true), ("host.example:81", false),
    ("ost.example", false), ("host.example.org", false), ("", false),
  ])
  func exceptions(list: String, isDirect: Bool) throws {
    let proxy = try proxy(["http_proxy": "a:1", "no_proxy": list], "http://Host.Example/")
    #expect((proxy == nil) == isDirect)
  }

  @Test func addresses() throws {
    #expect(try proxy(["http_proxy": "a:1", "no_proxy": "::1"], "http://[::1]/") == nil)
    #expect(try proxy(["http_proxy": "a:1", "no_proxy": "[::1],127.0.0.1"], "http://127.0.0.1:99/") == nil)
  }
}
