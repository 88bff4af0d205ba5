import Support
import TestSupport
import Testing
import Transport

@Suite(.timeLimit(.minutes(1)))
struct HTTPProxyTests {
  @Test func plainRequestsGoToTheProxyWhole() async throws {
    let proxy = try ScriptedServer(HTTPClientTests.echo)
    let client = try HTTPClient(
      .init(proxies: ProxySettings(["http_proxy": "http://127.0.0.1:\(proxy.port)", "no_proxy": "direct.example"])))
    let answer = try await client.send(HTTPRequest(.get, "http://far.example/x?y"))
    #expect(HTTPClientTests.text(answer).hasPrefix("GET http://far.example/x?y HTTP/1.1\n"))
    await client.shutdown()
  }

  @Test func secureRequestsGoThroughATunnel() async throws {
    let certificate = try TestCertificate(["DNS:far.example"])
    let server = try ScriptedServer(identity: certificate.identity, HTTPClientTests.echo)
    let asked = Latch<String>()
    let proxy = try ScriptedServer { connection in
      asked.open(with: try connection.readRequest().line)
      try connection.write("HTTP/1.1 200 Fine\r\nX-From: proxy\r\n\r\n")
      try connection.relay(to: try TCPSocket(port: server.port))
    }
    let client = try HTTPClient(
      .init(
        caFile: certificate.identity.certificate,
        proxies: ProxySettings(["https_proxy": "http://127.0.0.1:\(proxy.port)"])))
    let answer = try await client.send(HTTPRequest(.get, "https://far.example/x"))
    #expect(HTTPClientTests.text(answer).hasPrefix("GET /x HTTP/1.1\n"))
    #expect(answer.header("X-From") == nil)
    #expect(try await asked.reached() == "CONNECT far.example:443 HTTP/1.1")
    await client.shutdown()
  }

  @Test func exceptionsGoDirectly() async throws {
    let server = try ScriptedServer(HTTPClientTests.echo)
    let client = try HTTPClient(
      .init(proxies: ProxySettings(["http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"])))
    #expect(try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/")).status == 200)
    await client.shutdown()
  }

  @Test func aProxyThatIsNotThereIsNamed() async throws {
    let client = try HTTPClient(.init(proxies: ProxySettings(["http_proxy": "http://127.0.0.1:1"])))
    let error = await #expect(throws: TransportError.self) {
      try await client.send(HTTPRequest(.get, "http://far.example/"))
    }
    #expect(error?.code == .connect)
    #expect(error?.message.contains("127.0.0.1") == true)
    await client.shutdown()
  }
}
