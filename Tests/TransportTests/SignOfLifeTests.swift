import Support
import TestSupport
import Testing
import Transport

@Suite("A thread's sign of life", .timeLimit(.minutes(1)))
struct SignOfLifeTests {
  @Test("each lane runs what it is handed, again and again, with or without a request that hangs")
  func lanes() async throws {
    let server = try ScriptedServer { $0.drain() }
    let client = try HTTPClient()
    for lane in HTTPClient.Lane.allCases {
      try await sign { client.submit(to: lane, $0) }
      let hanging = Task { try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/"), on: lane) }
      try await server.accepted.reach(lane == .control ? 1 : 2)
      for _ in 0..<3 { try await sign { client.submit(to: lane, $0) } }
      hanging.cancel()
      await #expect(throws: CancellationError.self) { try await hanging.value }
    }
    await client.shutdown()
    server.stop()
  }

  @Test("the WebSocket thread runs what it is handed, again and again")
  func webSocket() async throws {
    let client = try WebSocketClient()
    for _ in 0..<100 { try await sign { client.submit($0) } }
  }

  /// Returns when the closure has run.
  private func sign(_ submit: (@escaping @Sendable () -> Void) -> Void) async throws {
    let latch = Latch<Void>()
    submit { latch.open(with: ()) }
    try await latch.reached()
  }
}
