import AssetCache
import Configuration
import HTTPServer
import Logging
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

@Suite("Fetching through the cache service", .timeLimit(.minutes(1)))
struct FetchingTests {
  static let asset = CacheRequest.asset(job: 1, type: "iso", name: "x.iso", webUI: "w")

  /// A service, and a client of it whose waits take no time.
  struct Bench: Sendable {
    let fake: FakeCacheService
    let service: CacheService
    let clock: NoWaits
    let log: RecordedLines
  }

  static func run(
    polls: Int = 1, _ bring: @escaping FakeCacheService.Bringing = { _ in ["status": "processed", "output": "log"] },
    change: (inout Settings.Cache) -> Void = { _ in }, _ body: @Sendable (Bench) async throws -> Void
  ) async throws {
    let fake = try await FakeCacheService.start(polls: polls, bring)
    let http = try HTTPClient()
    var cache = Settings.Cache(directory: "/cache")
    cache.serviceURL = fake.url
    change(&cache)
    let (clock, log) = (NoWaits(), RecordedLines())
    let service = CacheService(cache, http: http, logger: log.logger, clock: clock)
    let result: Result<Void, any Error>
    do {
      result = .success(try await body(Bench(fake: fake, service: service, clock: clock, log: log)))
    } catch { result = .failure(error) }
    await http.shutdown()
    await fake.stop()
    try result.get()
  }

  /// The failure of fetching `request`.
  static func failure(_ bench: Bench, _ request: CacheRequest = asset) async -> SetupFailure? {
    do {
      _ = try await bench.service.fetch(request)
      return nil
    } catch { return error as? SetupFailure }
  }

  @Test("asked for, waited for, reported")
  func fetched() async throws {
    try await Self.run(polls: 2) { bench in
      let report = try await bench.service.fetch(Self.asset)
      #expect(report.output == "log" && !report.hasDownloadError)
      #expect(bench.fake.requests == [Self.asset.body])
      #expect(bench.fake.asked == ["GET /info", "POST /enqueue"] + Array(repeating: "GET /status/1", count: 3))
      #expect(bench.clock.waits.withLock { $0 } == [.milliseconds(500), .milliseconds(500)])
      #expect(bench.log.lines == ["Downloading x.iso, request #1 sent to Cache Service"])
    }
  }

  @Test("what takes long is asked for less often, up to the poll delay")
  func longer() async throws {
    try await Self.run(polls: 20) { bench in
      _ = try await bench.service.fetch(Self.asset)
      let waits = bench.clock.waits.withLock { $0 }
      #expect(waits[4] == .milliseconds(500) && waits[5] == .milliseconds(625) && waits.last == .seconds(5))
    }
  }

  @Test("the log says on what it waits")
  func notice() async throws {
    try await Self.run(polls: 2) { bench in
      let isUnderWay = Latch<Void>()
      bench.clock.onNotice.withLock { $0 = { try await isUnderWay.reached() } }
      bench.fake.answerOnce("GET /status/1") { .json(["status": "downloading"]) }
      bench.fake.answerOnce("GET /status/1") {
        isUnderWay.open(with: ())
        try await bench.log.line(with: "setup: waiting for the cache service: iso/x.iso (downloading, 10 s)")
        // No more of them.
        bench.clock.onNotice.withLock { $0 = NoWaits.never }
        return .json(["status": "downloading"])
      }
      _ = try await bench.service.fetch(Self.asset)
    }
  }

  struct Refusal: Sendable, CustomTestStringConvertible {
    var target: String
    var answer: ServerResponse
    var message: String
    var testDescription: String { "\(target): \(message)" }
  }

  static let refusals: [Refusal] = [
    Refusal(
      target: "GET /info", answer: .json(["active_workers": 1, "inactive_jobs": 46]),
      message: "Cache service queue already full (5)"),
    Refusal(target: "GET /info", answer: .json([:]), message: "No workers active in the cache service"),
    Refusal(
      target: "GET /info", answer: .text("<html>"), message: "Cache service info error: 200 non-JSON response"),
    Refusal(
      target: "POST /enqueue", answer: .json(["error": "No task defined"], status: 400),
      message: "Failed to send asset request for x.iso: Cache service enqueue error from API: No task defined"),
    Refusal(
      target: "POST /enqueue", answer: .json(["status": "downloading"]),
      message:
        "Failed to send asset request for x.iso: Cache service enqueue error: Minion job id missing from response"),
    Refusal(
      target: "POST /enqueue", answer: .json(text: #"{"id":"#),
      message: "Failed to send asset request for x.iso: Cache service enqueue error: 200 non-JSON response"),
    Refusal(
      target: "POST /enqueue", answer: .json(["id": "../info"]),
      message:
        "Failed to send asset request for x.iso: Cache service enqueue error: Minion job id missing from response"),
    Refusal(
      target: "GET /status/1", answer: .json(["error": "Minion job #1 failed: gone"], status: 500),
      message: "Cache service status error from API: Minion job #1 failed: gone"),
    Refusal(
      target: "GET /status/1", answer: .text("<html>", status: 502),
      message: "Cache service status error 502: Bad Gateway"),
    Refusal(
      target: "GET /status/1", answer: .json(text: #"{"status":"proc"#),
      message: "Cache service status error: 200 non-JSON response"),
  ]

  @Test("answers that are none end it, in a cache failure", arguments: refusals)
  func refused(_ example: Refusal) async throws {
    try await Self.run { bench in
      bench.fake.answerOnce(example.target) { example.answer }
      #expect(await Self.failure(bench) == SetupFailure(.cache, example.message))
    }
  }

  @Test("a queue that would keep a slot from taking jobs does not stop one that is set up")
  func reserve() async throws {
    try await Self.run { bench in
      bench.fake.answerOnce("GET /info") { .json(["active_workers": 1, "inactive_jobs": 45]) }
      #expect(await Self.failure(bench) == nil)
    }
  }

  @Test("while it does not answer, it is asked again; a lost connection costs nothing")
  func unreachable() async throws {
    try await Self.run { bench in
      // Twice: a request on a connection that was kept from the last one is sent once more by itself.
      for target in ["GET /info", "POST /enqueue", "GET /status/1"] {
        for _ in 1...2 { bench.fake.answerOnce(target) { throw AbortConnection.reset } }
      }
      #expect(await Self.failure(bench) == nil)
      #expect(bench.log.lines.count { $0.contains("trying again, 59 times") } == 3)
    }
  }

  @Test("nobody there: after all tries, a cache failure with the address")
  func nobody() async throws {
    try await Self.run(change: { ($0.serviceURL, $0.tries, $0.retryDelay) = ("http://127.0.0.1:1", 3, .seconds(7)) }) {
      bench in
      let failure = await Self.failure(bench)
      #expect(failure?.category == .cache)
      #expect(failure?.message.hasPrefix("Cache service info error: 127.0.0.1:1: ") == true, "\(failure as Any)")
      #expect(bench.clock.waits.withLock { $0 } == [.seconds(7), .seconds(7)])
    }
  }

  @Test("an address that is none: no second try")
  func noAddress() async throws {
    try await Self.run(change: { $0.serviceURL = "cache:9530" }) { bench in
      let failure = await Self.failure(bench)
      #expect(failure?.message.hasPrefix("Cache service info error: ") == true, "\(failure as Any)")
      #expect(failure?.message.contains("cache:9530") == true && bench.clock.waits.withLock { $0.isEmpty })
    }
  }

  @Test("a service that was set up anew is asked anew, three times at most", arguments: [2, 3])
  func forgotten(times: Int) async throws {
    try await Self.run { bench in
      for number in 1...times {
        bench.fake.answerOnce("GET /status/\(number)") { .json(["error": "Specified job ID is invalid"], status: 404) }
      }
      let failure = await Self.failure(bench)
      #expect(bench.fake.requests == Array(repeating: Self.asset.body, count: 3))
      #expect(
        failure
          == (times < 3
            ? nil : SetupFailure(.cache, "Cache service status error from API: Specified job ID is invalid")))
    }
  }

  @Test("a request that is never processed is waited for until the task is cancelled, and then no longer")
  func cancelled() async throws {
    try await Self.run(polls: .max) { bench in
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          await #expect(throws: CancellationError.self) { _ = try await bench.service.fetch(Self.asset) }
        }
        _ = try? await bench.log.line(with: "request #1 sent")
        group.cancelAll()
      }
      let line = bench.log.lines.last { $0.hasPrefix("setup: ") }
      #expect(line?.hasPrefix("setup: no longer waiting for the cache service: iso/x.iso (") == true, "\(line ?? "")")
    }
  }

  @Test("a service that does not answer at all holds up no cancelled task", arguments: ["GET /info", "GET /status/1"])
  func silent(target: String) async throws {
    let isAsked = Latch<Void>()
    try await Self.run { bench in
      bench.fake.answerOnce(target) {
        isAsked.open(with: ())
        try await Task.sleep(for: .seconds(3600))
        return .text("")
      }
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          await #expect(throws: CancellationError.self) { _ = try await bench.service.fetch(Self.asset) }
        }
        _ = try? await isAsked.reached()
        group.cancelAll()
      }
    }
  }

  // MARK: Test code

  /// A service whose runs of rsync end with these codes, one after the other.
  static func rsync(_ codes: [Int], _ body: @Sendable (Bench) async throws -> Void) async throws {
    let left = Guarded(codes)
    try await run(polls: 0) { _ in
      let code = left.withLock { $0.removeFirst() }
      return ["status": "processed", "result": .string("exit code \(code)"), "output": "Try 1:\n"]
    } _: {
      try await body($0)
      #expect(left.withLock { $0 }.isEmpty)
    }
  }

  @Test("test code is fetched again where that may help", arguments: [[0], [10, 0], [23, 24, 0]])
  func tests(codes: [Int]) async throws {
    try await Self.rsync(codes) { bench in
      let tests = try await bench.service.fetchTests(from: "rsync://w/t", into: "/cache/w")
      #expect(tests == "/cache/w/tests")
      #expect(!bench.fake.asked.contains("GET /info"))
      #expect(bench.log.lines.contains("Rsync from 'rsync://w/t' to '/cache/w', request #1 sent to Cache Service"))
    }
  }

  @Test("three times at most", arguments: [[23, 23, 23], [10, 12], [1]])
  func failedTests(codes: [Int]) async throws {
    try await Self.rsync(codes) { bench in
      await #expect(throws: SetupFailure(.cache, "Failed to rsync tests: exit code \(codes[codes.count - 1])")) {
        _ = try await bench.service.fetchTests(from: "rsync://w/t", into: "/cache/w")
      }
    }
  }

  @Test("tests that cannot be asked for")
  func unsent() async throws {
    try await Self.run { bench in
      bench.fake.answerOnce("POST /enqueue") { .text("", status: 500) }
      let text = "Failed to send rsync from 's' to '/cache/w': Cache service enqueue error 500: Internal Server Error"
      await #expect(throws: SetupFailure(.cache, text)) {
        _ = try await bench.service.fetchTests(from: "s", into: "/cache/w")
      }
    }
  }

  @Test("of a long text, the log has the end")
  func loggable() {
    #expect("short".loggable == "short")
    let text = String(repeating: "x", count: 300 << 10) + "end"
    #expect(text.loggable.hasPrefix("(45059 bytes left out) xxx") && text.loggable.hasSuffix("xend"))
  }
}

/// A clock on which waits take no time, but those for lines about what is waited for, which never come unless told to.
struct NoWaits: Clock, Sendable {
  struct Instant: InstantProtocol {
    var offset = Duration.zero
    func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
    func duration(to other: Instant) -> Duration { other.offset - offset }
    static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
  }

  static let never: @Sendable () async throws -> Void = { try await Task.sleep(for: .seconds(3600)) }

  /// Each wait, in order, but for those of ten seconds.
  let waits = Guarded<[Duration]>([])
  /// What happens in a wait of ten seconds.
  let onNotice = Guarded<@Sendable () async throws -> Void>(NoWaits.never)

  var now: Instant { Instant() }
  var minimumResolution: Duration { .zero }

  func sleep(until deadline: Instant, tolerance: Duration?) async throws {
    if deadline.offset == .seconds(10) { return try await onNotice.withLock { $0 }() }
    waits.withLock { $0.append(deadline.offset) }
    try Task.checkCancellation()
  }
}

/// What was logged, to wait for.
final class RecordedLines: Sendable {
  private struct Handler: LogHandler {
    let log: RecordedLines
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { log.add("\(event.message)") }
  }

  private struct State {
    var lines: [String] = []
    var waiters: [(text: String, latch: Latch<Void>)] = []
  }

  private let state = Guarded(State())

  var lines: [String] { state.withLock { $0.lines } }
  var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

  /// Returns as soon as there is a line with this text.
  func line(with text: String) async throws {
    let latch = Latch<Void>()
    let isThere = state.withLock { state in
      state.waiters.append((text, latch))
      return state.lines.contains { $0.contains(text) }
    }
    if !isThere { try await latch.reached() }
  }

  private func add(_ line: String) {
    let latches = state.withLock { state in
      state.lines.append(line)
      return state.waiters.filter { line.contains($0.text) }.map(\.latch)
    }
    for latch in latches { latch.open(with: ()) }
  }
}
