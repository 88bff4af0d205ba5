import TestSupport
import Testing
import Transport

@Suite(.timeLimit(.minutes(1)))
struct HTTPSTests {
  @Test func aTrustedServerIsAnswered() async throws {
    let certificate = try TestCertificate()
    let server = try ScriptedServer(identity: certificate.identity, HTTPClientTests.echo)
    let client = try HTTPClient(.init(caFile: certificate.identity.certificate, proxies: .none))
    for host in ["localhost", "127.0.0.1"] {
      for _ in 0..<5 {
        #expect(try await client.send(HTTPRequest(.get, "https://\(host):\(server.port)/")).status == 200)
      }
    }
    #expect(server.accepted.count <= 3)
    await client.shutdown()
  }

  @Test func anUntrustedServerIsNot() async throws {
    let certificate = try TestCertificate()
    let server = try ScriptedServer(identity: certificate.identity, HTTPClientTests.echo)
    let client = try HTTPClient(.init(proxies: .none))
    let error = await #expect(throws: TransportError.self) {
      try await client.send(HTTPRequest(.get, "https://localhost:\(server.port)/"))
    }
    #expect(error?.code == .tls)
    #expect(error?.message.contains("localhost:\(server.port)") == true)
    #expect(error?.message.contains("certificate") == true)
  }

  @Test func aWrongNameIsNot() async throws {
    let certificate = try TestCertificate(["DNS:other.example"])
    let server = try ScriptedServer(identity: certificate.identity, HTTPClientTests.echo)
    let client = try HTTPClient(.init(caFile: certificate.identity.certificate, proxies: .none))
    let error = await #expect(throws: TransportError.self) {
      try await client.send(HTTPRequest(.get, "https://localhost:\(server.port)/"))
    }
    #expect(error?.code == .tls)
    #expect(error?.message.contains("localhost") == true)
  }

  @Test func aServerWithoutTLSIsNot() async throws {
    let server = try ScriptedServer { connection in
      _ = try connection.read(10)
      try connection.write("HTTP/1.1 400 Bad Request\r\n\r\n")
    }
    let client = try HTTPClient(.init(proxies: .none))
    let error = await #expect(throws: TransportError.self) {
      try await client.send(HTTPRequest(.get, "https://localhost:\(server.port)/"))
    }
    #expect(error?.code == .tls)
  }

  @Test func aMissingCAFileIsNamed() async throws {
    let certificate = try TestCertificate()
    let server = try ScriptedServer(identity: certificate.identity, HTTPClientTests.echo)
    let client = try HTTPClient(.init(caFile: "/nowhere/ca.pem", proxies: .none))
    let error = await #expect(throws: TransportError.self) {
      try await client.send(HTTPRequest(.get, "https://localhost:\(server.port)/"))
    }
    #expect(error?.code == .tls)
    #expect(error?.message.contains("/nowhere/ca.pem") == true)
  }
}
