import Configuration
import Logging
import TestSupport
import Testing
import Transport
import WebUIClient

/// What a web UI that takes calls and answers none can cost.
@Suite("Limits of REST calls", .timeLimit(.minutes(1)))
struct CallLimitTests {
  /// A client of a scripted server with limits of parts of a second.
  private func run(
    _ retry: Settings.Retry, _ script: @escaping @Sendable (ScriptedConnection) throws -> Void,
    _ body: (WebUIClient, ScriptedServer) async throws -> Void
  ) async throws {
    let server = try ScriptedServer(script)
    let http = try HTTPClient(HTTPClient.Configuration(proxies: .none))
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let client = WebUIClient(
      try WebUIAddress("http://127.0.0.1:\(server.port)"), credentials: nil, http: http, retry: retry, logger: logger)
    let result = await Result { () async throws in try await body(client, server) }
    await http.shutdown()
    server.stop()
    try result.get()
  }

  private static let scaledDown = Settings.Retry(
    tries: 1000, delay: .zero, delayIfBusy: .zero, inactivity: .milliseconds(100), patience: .milliseconds(300))

  @Test("a server that takes calls and is silent: the tries end when the time for all of them is over")
  func silence() async throws {
    try await run(Self.scaledDown) {
      _ = try $0.readRequest(); $0.drain()
    } _: { client, server in
      let start = ContinuousClock.now
      let error = await #expect(throws: WebUIError.self) { try await client.send(.init(.post, "jobs/1/status")) }
      #expect(error?.code == .connection(isTimeout: true))
      #expect(start.duration(to: .now) >= .milliseconds(200))
      #expect((2...4).contains(server.accepted.count), "\(server.accepted.count) tries of 1000")
      // Those that come after it have one try each.
      let tries = server.accepted.count
      for _ in 0..<3 { await #expect(throws: WebUIError.self) { try await client.send(.init(.post, "jobs/1/status")) } }
      #expect(server.accepted.count == tries + 3)
    }
  }

  @Test("an answer that comes byte by byte for ever ends as well")
  func dribble() async throws {
    let retry = Settings.Retry(tries: 5, inactivity: .seconds(30), patience: .milliseconds(300))
    // The waits between tries are part of what a call may take.
    #expect(retry.limit == .seconds(300))
    try await run(
      Settings.Retry(tries: 1, delay: .zero, delayIfBusy: .zero, inactivity: .seconds(30), patience: .milliseconds(300))
    ) { connection in
      _ = try connection.readRequest()
      try connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
      while true {
        try connection.write(" ")
        connection.socket.pause(.milliseconds(10))
      }
    } _: { client, _ in
      let error = await #expect(throws: WebUIError.self) { try await client.send(.init(.get, "workers")) }
      #expect(error?.description.contains("no complete answer within") == true)
    }
  }

  @Test("an answer, even one that refuses, gives later calls all their time again")
  func answered() async throws {
    let asked = EventCounter()
    try await run(Self.scaledDown) { connection in
      while true {
        let request = try connection.readRequest()
        asked.increment()
        if request.line.contains("silent") { return connection.drain() }
        try connection.respond("404 Not Found")
      }
    } _: { client, _ in
      for round in 1...2 {
        let before = asked.count
        await #expect(throws: WebUIError.self) { try await client.send(.init(.post, "silent")) }
        #expect(asked.count - before >= 2, "round \(round)")
        await #expect(throws: WebUIError.self) { try await client.send(.init(.post, "there")) }
      }
    }
  }

  @Test("what a call may take by default")
  func standard() {
    #expect(Settings.Retry().limit == .seconds(3600))
    #expect(Settings.Retry(tries: 600).limit == .seconds(36000), "whoever wants more tries gets the time for them")
  }
}

extension Result where Failure == any Error {
  fileprivate init(_ body: () async throws -> Success) async {
    do { self = .success(try await body()) } catch { self = .failure(error) }
  }
}
