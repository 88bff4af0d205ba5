import CommandServerClient
import HTTPServer
import Support
import Testing
import Transport

@Suite("isotovideo's command server", .timeLimit(.minutes(1)))
struct CommandServerTests {
  func run(_ answer: ServerResponse, _ body: @Sendable (CommandServer) async throws -> Void) async throws {
    let seen = Guarded<[String]>([])
    let server = try await WebServer.start { request in
      let content = String(decoding: try await request.body.collect(upTo: 1 << 16), as: UTF8.self)
      seen.withLock { $0.append("\(request.method) \(request.path) \(content)") }
      return answer
    }
    let http = try HTTPClient()
    try await body(CommandServer(url: "http://127.0.0.1:\(server.port)/TOKEN", http: http))
    await http.shutdown()
    await server.stop()
    let known = ["GET /TOKEN/isotovideo/version ", #"POST /TOKEN/broadcast {"stopping_test_execution":"cancel"}"#]
    #expect(seen.withLock { $0.allSatisfy { known.contains($0) } })
  }

  @Test("version and broadcast")
  func answers() async throws {
    try await run(.json(["test_git_hash": "UNKNOWN", "version": 34])) { server in
      let version = try await server.version()
      #expect(version.isotovideo == "34" && version.testCode == "UNKNOWN" && version.needles == "")
      try await server.announceStop(reason: "cancel")
    }
  }

  @Test(
    "what is no answer",
    arguments: [ServerResponse.text("x", status: 404), .text("<html>"), .json(text: "{"), .text("", status: 500)])
  func nonsense(answer: ServerResponse) async throws {
    try await run(answer) { server in
      await #expect(throws: CommandServer.Unusable.self) { _ = try await server.version() }
      await #expect(throws: CommandServer.Unusable.self) { try await server.announceStop(reason: "cancel") }
    }
  }

  @Test("nobody there")
  func nobody() async throws {
    let http = try HTTPClient()
    await #expect(throws: CommandServer.Unusable.self) {
      _ = try await CommandServer(url: "http://127.0.0.1:1/T", http: http).version()
    }
    await http.shutdown()
  }
}
