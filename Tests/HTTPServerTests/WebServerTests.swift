import HTTPServer
import Testing

@Suite(.timeLimit(.minutes(1)))
struct WebServerTests {
  @Test func answersRequestsInTurnOnOneConnection() async throws {
    try await WebServer.with(handler: { .text("\($0.method) \($0.path)") }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        let first = try await client.response()
        #expect(first.head.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(first.body == "GET /a")
        #expect(try await client.response().body == "GET /b")
        try await client.send("GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(try await client.readToEnd().hasSuffix("\r\n\r\nGET /c"))
      }
    }
  }

  @Test func acceptsAWebSocketAfterAnOrdinaryRequest() async throws {
    try await WebServer.with(handler: { request in
      guard request.path == "/ws" else { return .text("no") }
      return .webSocket { socket in
        for try await message in socket.messages { try await socket.send("echo \(message)") }
      }
    }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        _ = try await client.response()
        try await client.send(
          "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        let head = try await client.read(through: "\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 101 "))
        #expect(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        try await client.send([0x81, 0x82, 1, 2, 3, 4, 0x68 ^ 1, 0x69 ^ 2])
        #expect(try await client.read(count: 9) == [0x81, 7] + Array("echo hi".utf8))
        try await client.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])
        #expect(try await client.read(count: 4) == [0x88, 2, 0x03, 0xE8])
        #expect(try await client.readToEnd() == "")
      }
    }
  }
}
