import Support
import TestSupport
import Testing
import Transport

@Suite(.timeLimit(.minutes(1)))
struct HTTPCancellationTests {
  let client: HTTPClient

  init() throws { client = try HTTPClient(.init(connectionsPerLane: 4, connectionsPerHost: 4, proxies: .none)) }

  @Test func aTaskCancelledBeforeSendsNothing() async throws {
    let server = try ScriptedServer { $0.drain() }
    let url = "http://127.0.0.1:\(server.port)/"
    let started = Latch<Void>()
    let task = Task {
      try? await started.reached()
      await #expect(throws: CancellationError.self) { try await client.send(HTTPRequest(.get, url)) }
    }
    task.cancel()
    started.open(with: ())
    await task.value
    #expect(server.accepted.count == 0)
  }

  @Test func aTaskCancelledAfterKeepsItsAnswer() async throws {
    let server = try ScriptedServer(HTTPClientTests.echo)
    let url = "http://127.0.0.1:\(server.port)/"
    let answered = Latch<Void>()
    let task = Task {
      let answer = try await client.send(HTTPRequest(.get, url))
      answered.open(with: ())
      return answer.status
    }
    try await answered.reached()
    task.cancel()
    #expect(try await task.value == 200)
  }

  @Test func aCancelledRequestClosesItsConnection() async throws {
    let asked = EventCounter()
    let ended = EventCounter()
    let server = try ScriptedServer { connection in
      _ = try connection.readRequest()
      asked.increment()
      connection.drain()
      ended.increment()
    }
    let url = "http://127.0.0.1:\(server.port)/"
    let task = Task { try await client.send(HTTPRequest(.get, url)) }
    try await asked.reach(1)
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    try await ended.reach(1)
  }

  @Test(arguments: 0..<3)
  func allOfAStormAreDelivered(round: Int) async throws {
    let server = try ScriptedServer { $0.drain() }
    let url = "http://127.0.0.1:\(server.port)/"
    let tasks = (0..<200).map { number in
      Task { try await client.send(HTTPRequest(.get, url), on: number % 2 == 0 ? .control : .bulk) }
    }
    // Some are under way, some wait for a connection, some have not begun.
    if round > 0 { try await server.accepted.reach(round * 2) }
    for task in tasks { task.cancel() }
    for task in tasks { await #expect(throws: CancellationError.self) { try await task.value } }
    // And the client lives.
    let echo = try ScriptedServer(HTTPClientTests.echo)
    for lane in HTTPClient.Lane.allCases {
      #expect(try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(echo.port)/"), on: lane).status == 200)
    }
  }

  @Test func cancellationRacesWithTheAnswer() async throws {
    let server = try ScriptedServer(HTTPClientTests.echo)
    let url = "http://127.0.0.1:\(server.port)/"
    var answered = 0
    for _ in 0..<300 {
      let task = Task { try await client.send(HTTPRequest(.get, url)) }
      await Task.yield()
      task.cancel()
      do {
        _ = try await task.value
        answered += 1
      } catch is CancellationError {}
    }
    #expect((0...300).contains(answered))
    #expect(try await client.send(HTTPRequest(.get, url)).status == 200)
  }
}
