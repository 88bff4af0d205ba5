import Configuration
import HTTPServer
import Logging
import OpenQAProtocol
import Support
import TestSupport
import Testing
import Transport
import WebUIClient
import WebUISession

/// A web UI's side of registration and WebSocket, as a script has it.
final class StandIn: Sendable {
  struct Behaviour: Sendable {
    var registration: @Sendable (Int) async -> ServerResponse? = { _ in nil }
    var upgrade: @Sendable (Int, ServerRequest) async -> ServerResponse? = { _, _ in nil }
    /// To the question where the web UI is.
    var location: @Sendable (Int) async -> ServerResponse? = { _ in nil }
    /// To a status.
    var answer: @Sendable (JSON) async -> JSON? = { _ in ["type": "info", "seen": 1] }
  }

  let locations = EventCounter()
  let registrations = EventCounter()
  let upgrades = EventCounter()
  let requests = Guarded<[String]>([])
  /// What the worker said over the WebSocket.
  let said = Guarded<[JSON]>([])
  let statuses = EventCounter()
  let messages = EventCounter()
  /// Connections that are over.
  let ended = EventCounter()
  private let behaviour: Behaviour
  private let sockets = Guarded<[HTTPServer.WebSocket]>([])

  init(_ behaviour: Behaviour) { self.behaviour = behaviour }

  @Sendable func respond(_ request: ServerRequest) async throws -> ServerResponse {
    requests.withLock { $0.append("\(request.method) \(request.target)") }
    if request.method == "POST" {
      registrations.increment()
      return await behaviour.registration(registrations.count) ?? .json(["id": 7])
    }
    if request.method == "HEAD" {
      locations.increment()
      return await behaviour.location(locations.count) ?? .json([:])
    }
    guard request.wantsWebSocket else { return .json([:]) }
    upgrades.increment()
    if let answer = await behaviour.upgrade(upgrades.count, request) { return answer }
    return .webSocket { socket in
      self.sockets.withLock { $0.append(socket) }
      defer { self.ended.increment() }
      for try await text in socket.messages {
        guard let message = try? JSON(parsing: text) else { continue }
        self.said.withLock { $0.append(message) }
        self.messages.increment()
        guard message["type"] == "worker_status" else { continue }
        self.statuses.increment()
        if let answer = await self.behaviour.answer(message) { try await socket.send(answer.text) }
      }
    }
  }

  /// Sends a message over each connection, so many times.
  func send(_ message: JSON, times: Int) async throws {
    for socket in sockets.withLock({ $0 }) { for _ in 0..<times { try await socket.send(message.text) } }
  }

  func closeSockets(code: UInt16, reason: String) async throws {
    for socket in sockets.withLock({ $0 }) { try await socket.close(code: code, reason: reason) }
  }
}

@Suite("A session with a web UI", .timeLimit(.minutes(1)))
struct WebUISessionTests {
  /// Runs a session against a stand-in while `body` runs.
  func run(
    _ behaviour: StandIn.Behaviour = .init(), answerLimit: Duration = .seconds(30),
    period: Duration = .milliseconds(10), at otherURL: String? = nil, caFile: String? = nil,
    now: @escaping @Sendable () -> Int64 = { 1_000_000_000 },
    listener: @escaping WebUISession.Listener = { _ in },
    _ body: @Sendable (WebUISession, StandIn, LogLines) async throws -> Void
  ) async throws {
    let standIn = StandIn(behaviour)
    let server = try await WebServer.start(handler: standIn.respond)
    let http = try HTTPClient(HTTPClient.Configuration(caFile: caFile))
    let lines = LogLines()
    let logger = Logger(label: "test") { _ in lines }
    let client = WebUIClient(
      try WebUIAddress(otherURL ?? "http://127.0.0.1:\(server.port)"), credentials: Credentials(key: "K", secret: "S"),
      http: http, retry: Settings.Retry(tries: 1, delay: .zero, delayIfBusy: .zero), logger: logger, now: now)
    let registration = WorkerRegistration(
      host: "h", instance: 3, architecture: "x86_64", processor: [:], memory: 1, workerClass: "a",
      isotovideoInterfaceVersion: 34)
    let timing = WebUISession.Timing(
      connectInterval: .milliseconds(10), statusInterval: period...period,
      answerLimit: answerLimit, random: { 0 })
    let session = WebUISession(
      client, webSockets: try WebSocketClient(), registration: registration, timing: timing, logger: logger)
    let result: Result<Void, any Error> = await withTaskGroup(of: Void.self) { group in
      group.addTask { await session.run(listener) }
      defer { group.cancelAll() }
      do { return .success(try await body(session, standIn, lines)) } catch { return .failure(error) }
    }
    await http.shutdown()
    await server.stop()
    try result.get()
  }

  @Test("tells its status at once and then each period")
  func status() async throws {
    try await run { session, standIn, _ in
      try await standIn.statuses.reach(3)
      #expect(standIn.said.withLock { $0[0] } == ["type": "worker_status", "status": "free"])
      await session.update(status: .broken(reason: "full"))
      await session.sendStatus()
      try await standIn.statuses.reach(standIn.statuses.count + 2)
      #expect(standIn.said.withLock { $0.last?["reason"] } == "full")
    }
  }

  @Test("a lost connection: registered anew, with the jobs in hand; what is rejected meanwhile is told then")
  func lost() async throws {
    let gate = Latch<Void>()
    try await run(
      .init(registration: { count in
        if count == 2 { try? await gate.reached() }
        return nil
      })
    ) { session, standIn, lines in
      try await standIn.statuses.reach(1)
      let job = try JobInfo(["id": 5, "settings": [:]])
      await session.update(status: .working(job, webUI: session.client.address.entry), pending: [6])
      try await standIn.closeSockets(code: 1008, reason: "only one")
      try await standIn.registrations.reach(2)
      #expect(await !session.accept(job: 9), "there is nobody to tell")
      await session.reject(jobs: [8], reason: "busy")
      gate.open(with: ())
      try await standIn.upgrades.reach(2)
      let before = standIn.messages.count
      try await standIn.messages.reach(before + 2)
      #expect(standIn.said.withLock { $0.contains { $0["type"] == "rejected" && $0["job_ids"] == [8] } })
      let posts = standIn.requests.withLock { $0.filter { $0.hasPrefix("POST") } }
      #expect(!posts[0].contains("job_id") && posts[1].contains("job_id=5&job_id=6"))
      #expect(lines.text.contains("finished by remote side with code 1008, only one"))
    }
  }

  @Test("a redirected WebSocket is asked for anew, signed for where it goes")
  func redirect() async throws {
    try await run(
      .init(upgrade: { count, request in
        count == 1 ? .redirect(to: "http://\(request.headers["Host"] ?? "")/ws/7?a=b") : nil
      })
    ) { _, standIn, _ in
      try await standIn.statuses.reach(1)
      let gets = standIn.requests.withLock { $0.filter { $0.hasPrefix("GET") } }
      #expect(gets == ["GET /api/v1/ws/7", "GET /ws/7?a=b"])
    }
  }

  @Test("silence at registration or upgrade ends within the limit and is tried again", arguments: [true, false])
  func silence(isAtRegistration: Bool) async throws {
    let never = Latch<Void>()
    let hold: @Sendable (Int) async -> ServerResponse? = { count in
      if count == 1 { try? await never.reached() }
      return nil
    }
    let behaviour =
      isAtRegistration
      ? StandIn.Behaviour(registration: hold) : StandIn.Behaviour(upgrade: { count, _ in await hold(count) })
    try await run(behaviour, answerLimit: .milliseconds(200)) { _, standIn, lines in
      try await standIn.statuses.reach(1)
      #expect(
        lines.text.contains(isAtRegistration ? "Failed to register at http://127.0.0.1" : "/api/v1/ws/7 failed: "))
      never.open(with: ())
    }
  }

  @Test(
    "what a failed registration means",
    arguments: [
      (400, "Erroneous parameters", false), (403, "no api key", false), (403, "timestamp mismatch", true),
      (404, "Not Found", false), (408, "", true), (425, "", true), (426, "too old", false), (429, "limit", true),
      (500, "", true), (503, "", true),
    ])
  func verdict(status: Int, text: String, isRetried: Bool) {
    let verdict = RegistrationVerdict(WebUIError(.status(status), "\(status) response: \(text)"))
    #expect((verdict == .retry) == isRetried)
    if case .disabled(let reason) = verdict { #expect(reason.hasPrefix("\(status) response: \(text)")) }
  }

  @Test("a web UI that refuses for good ends the session")
  func refused() async throws {
    let events = Events()
    try await run(.init(registration: { _ in .json(["error": "no"], status: 400) }), listener: events.listen) {
      _, _, _ in
      #expect(await events.untilDisabled() == [.disabled(reason: "400 response: no")])
    }
  }
}

/// What a session has told.
final class Events: Sendable {
  private let (all, out) = AsyncStream.makeStream(of: WebUISession.Event.self)

  @Sendable func listen(_ event: WebUISession.Event) { out.yield(event) }

  func contains(_ event: WebUISession.Event) async -> Bool { await all.contains(event) }

  /// All up to the one after which there are no more.
  func untilDisabled() async -> [WebUISession.Event] {
    var events: [WebUISession.Event] = []
    for await event in all {
      events.append(event)
      if case .disabled = event { break }
    }
    return events
  }
}

/// What was logged, to wait for.
struct LogLines: LogHandler {
  private let lines = Guarded<[String]>([])
  private let waiters = Guarded<[(text: String, latch: Latch<String>)]>([])
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .trace

  var text: String { lines.withLock { $0.joined(separator: "\n") } }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let line = "\(event.message)"
    lines.withLock { $0.append(line) }
    for waiter in waiters.withLock({ $0 }) where line.contains(waiter.text) { waiter.latch.open(with: line) }
  }

  /// The first line that has `text` in it, as soon as there is one.
  func line(with text: String) async throws -> String {
    let latch = Latch<String>()
    waiters.withLock { $0.append((text, latch)) }
    if let known = lines.withLock({ $0.first { $0.contains(text) } }) { latch.open(with: known) }
    return try await latch.reached()
  }
}
