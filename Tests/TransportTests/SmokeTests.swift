import TestSupport
import Testing
import Transport

@Suite(.timeLimit(.minutes(1)))
struct SmokeTests {
  @Test func get() async throws {
    let server = try ScriptedServer { connection in
      while true {
        let request = try connection.readRequest()
        try connection.respond(body: Array(request.line.utf8))
      }
    }
    let client = try HTTPClient()
    let answer = try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/x?y=%20z"))
    #expect(answer.status == 200)
    #expect(answer.body == Array("GET /x?y=%20z HTTP/1.1".utf8))
    await client.shutdown()
  }

  @Test func webSocket() async throws {
    let server = try ScriptedServer { connection in
      try connection.acceptWebSocket()
      while true { try connection.send(try connection.receiveMessage()) }
    }
    let client = try WebSocketClient()
    let connection = try await client.connect(WebSocketRequest("ws://127.0.0.1:\(server.port)/ws"))
    try await connection.send("hello")
    var messages = connection.messages.makeAsyncIterator()
    #expect(await messages.next() == "hello")
    await connection.close(code: 1000, reason: "bye")
    #expect(await messages.next() == nil)
    #expect(await connection.closure() == WebSocketClose(code: 1000, reason: "bye"))
  }
}
