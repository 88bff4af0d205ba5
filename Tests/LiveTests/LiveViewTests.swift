import Configuration
import HTTPServer
import Logging
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Transport
import WebUIClient

@testable import Live

/// A web UI that takes statuses and progress, and a pool.
private final class LiveBench: Sendable {
  let folder: TemporaryFolder
  let http: HTTPClient
  let server: WebServer
  /// What has come, as long as it is answered.
  let statuses = Observed<[JSON]>([])
  let progress = Observed<[(path: String, json: JSON)]>([])
  /// Answers nothing until it is opened.
  let gate = Observed(true)
  /// The status of answers.
  let code = Observed(200)
  let watcher = FileWatcher { _ in }
  let lane: IOLane

  init() async throws {
    folder = try TemporaryFolder()
    http = try HTTPClient(HTTPClient.Configuration(proxies: .none))
    lane = try IOLane(name: "pool")
    let (statuses, progress, gate, code) = (statuses, progress, gate, code)
    server = try await WebServer.start { request in
      let json = try JSON(parsing: try await request.body.collect(upTo: 16 << 20))
      if request.path.hasPrefix("/liveviewhandler/") {
        progress.change { $0.append((request.path, json)) }
        return .json(["broadcast_count": 1], status: code.value)
      }
      try await gate.wait { $0 }
      if code.value == 200 { statuses.change { $0.append(json["status"] ?? .null) } }
      return .json(["result": 1], status: code.value)
    }
    try Files.makeDirectory(folder.path.appending("qemuscreenshot"))
  }

  var logger: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

  func client(port: Int? = nil) throws -> WebUIClient {
    WebUIClient(
      try WebUIAddress("http://127.0.0.1:\(port ?? server.port)"), credentials: nil, http: http,
      retry: Settings.Retry(tries: 1, delay: .zero, delayIfBusy: .zero), logger: logger)
  }

  func channel(frameRate: Double = 1000) throws -> LiveChannel {
    LiveChannel(
      job: 5, status: { LiveStatus(workerID: 1, commandServerURL: "", workerHostname: "") }, client: try client(),
      pool: folder.path, lane: lane, watcher: watcher, frameRate: frameRate, clock: ContinuousClock(), logger: logger)
  }

  func stop() async {
    gate.change { $0 = true }
    await http.shutdown()
    await server.stop()
  }

  /// A new picture, made as os-autoinst does.
  func show(_ name: String) throws {
    let home = folder.path.appending("qemuscreenshot")
    try Files.append(name.utf8, to: home.appending(name))
    try Files.remove(home.appending("last.png"))
    try Files.symbolicLink(home.appending("last.png"), to: FilePath(name))
  }

  func log(_ text: String, to name: String = "autoinst-log.txt") throws {
    try Files.append(text.utf8, to: folder.path.appending(name))
  }

  var screens: [String] { statuses.value.compactMap { $0["screen"]?["name"]?.string } }

  /// What of a log has come.
  func text(of log: LiveStatus.Log = .autoinst) -> String { text(log, in: statuses.value) }

  func text(_ log: LiveStatus.Log, in statuses: [JSON]) -> String {
    statuses.compactMap { $0[log.rawValue]?["data"]?.string }.joined()
  }
}

@Suite("Live view", .timeLimit(.minutes(1)))
struct LiveViewTests {
  private func run(
    viewers: Int = 1, frameRate: Double = 1000, _ body: @Sendable (LiveBench, Observed<Audience>) async throws -> Void
  ) async throws {
    let bench = try await LiveBench()
    var first = Audience()
    first.viewers = viewers
    let audience = Observed(first)
    let view = LiveView(try bench.channel(frameRate: frameRate))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await view.run(audience) { _ in } }
      defer { group.cancelAll() }
      try await body(bench, audience)
    }
    await bench.stop()
  }

  @Test("a screen that is there, and each new one, goes up as it is")
  func screens() async throws {
    try await run { bench, _ in
      for number in 0..<5 {
        try bench.show("\(number).png")
        try await bench.statuses.wait { $0.contains { $0["screen"]?["name"]?.string == "\(number).png" } }
      }
      #expect(bench.screens == (0..<5).map { "\($0).png" })
      #expect(bench.statuses.value.first { $0["screen"] != nil }?["screen"]?["png"] == "MC5wbmc=")
    }
  }

  @Test("a web UI that is slow gets the newest screen next, and no older one")
  func slow() async throws {
    try await run { bench, _ in
      bench.gate.change { $0 = false }
      for number in 0..<20 { try bench.show("\(number).png") }
      bench.gate.change { $0 = true }
      try await bench.statuses.wait { $0.contains { $0["screen"]?["name"] == "19.png" } }
      #expect(bench.screens.count < 20 && bench.screens.last == "19.png")
      let numbers = bench.screens.compactMap { Int($0.dropLast(4)) }
      #expect(numbers == numbers.sorted())
    }
  }

  @Test("at the end of the job, viewers get the log to its last line; then nothing is sent any more")
  func end() async throws {
    let bench = try await LiveBench()
    var first = Audience()
    first.viewers = 1
    let audience = Observed(first)
    let view = LiveView(try bench.channel())
    let text = String(repeating: "x", count: 250_000)
    async let end: Void = view.run(audience) { _ in }
    try bench.log("first")
    try await bench.statuses.wait { bench.text(.autoinst, in: $0) == "first" }
    try bench.log(text)
    await view.finish(within: .seconds(60))
    await end
    #expect(bench.text() == "first\(text)")
    let count = bench.statuses.value.count
    try bench.log("more")
    try bench.show("1.png")
    await view.finish(within: .seconds(60))
    #expect(bench.statuses.value.count == count)
    await bench.stop()
  }

  @Test("the end of the job does not wait for a web UI that fails, long for one that is silent, or without viewers")
  func endWithoutAnswer() async throws {
    try await run { bench, _ in
      let view = LiveView(try bench.channel())
      async let end: Void = view.run(Observed(Audience())) { _ in }
      await view.finish(within: .seconds(60))
      await end
    }
    for code in [500, nil] {
      let bench = try await LiveBench()
      if let code { bench.code.change { $0 = code } } else { bench.gate.change { $0 = false } }
      var first = Audience()
      first.viewers = 1
      let audience = Observed(first)
      let view = LiveView(try bench.channel())
      try bench.log("x")
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await view.run(audience) { _ in } }
        let begin = ContinuousClock.now
        await view.finish(within: code == nil ? .milliseconds(50) : .seconds(60))
        #expect(begin.duration(to: .now) < .seconds(30))
        group.cancelAll()
      }
      await bench.stop()
    }
  }

  @Test("a folder of screens that comes later is found")
  func later() async throws {
    let bench = try await LiveBench()
    try Files.remove(bench.folder.path.appending("qemuscreenshot"))
    var first = Audience()
    first.viewers = 1
    let audience = Observed(first)
    let view = LiveView(try bench.channel())
    try bench.log("x")
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await view.run(audience) { _ in } }
      defer { group.cancelAll() }
      try await bench.statuses.wait { !$0.isEmpty }
      try Files.makeDirectory(bench.folder.path.appending("qemuscreenshot"))
      try bench.show("a.png")
      try await bench.statuses.wait { $0.contains { $0["screen"]?["name"] == "a.png" } }
    }
    await bench.stop()
  }

  @Test("logs arrive whole and in order, whoever fails and whenever viewers come and go")
  func logs() async throws {
    try await run(viewers: 0) { bench, audience in
      var expected = ""
      for round in 0..<20 {
        audience.change { $0.viewers = round % 3 == 2 ? 0 : 1 }
        let piece = String(repeating: "\(round) öß\n", count: round * 2000)
        expected += piece
        try bench.log(piece)
        try bench.log("\(round)", to: "serial0")
        if round % 5 == 0 { await Task.yield() }
      }
      audience.change { $0.viewers = 1 }
      // The server's bytes as code points.
      let code = String(String.UnicodeScalarView(expected.utf8.map { Unicode.Scalar($0) }))
      try await bench.statuses.wait { bench.text(.autoinst, in: $0).utf8.count >= code.utf8.count }
      #expect(bench.text() == code)
      let serial = (0..<20).map(String.init).joined()
      try await bench.statuses.wait { bench.text(.serial, in: $0).utf8.count >= serial.utf8.count }
      #expect(bench.text(of: .serial) == serial)
      let sizes = bench.statuses.value.compactMap { $0["log"]?["data"]?.string?.unicodeScalars.count }
      #expect(sizes.allSatisfy { $0 <= 100_000 })
    }
  }

  @Test("a post that fails is made again with what was not told")
  func failing() async throws {
    try await run { bench, _ in
      bench.code.change { $0 = 503 }
      try bench.log("abc")
      bench.code.change { $0 = 200 }
      try bench.log("def")
      try await bench.statuses.wait { bench.text(.autoinst, in: $0).count >= 6 }
      #expect(bench.text() == "abcdef")
    }
  }

  @Test("the file live_log is there as long as somebody looks on")
  func mark() async throws {
    try await run(viewers: 0) { bench, audience in
      let watch = try bench.watcher.watch(bench.folder.path, for: [.created, .deleted])
      var events = watch.makeAsyncIterator()
      #expect(await events.next() == .look)
      for (viewers, change) in [(1, FileChanges.created), (0, .deleted), (3, .created), (0, .deleted)] {
        audience.change { $0.viewers = viewers }
        #expect(await events.next() == .changed(["live_log": change]))
      }
    }
  }

  @Test("developers are told of each change, beside the web UI's port or at it", arguments: [0, 2])
  func developer(portDelta: Int) async throws {
    let bench = try await LiveBench()
    // Nobody listens two ports further but on the lab's own machine.
    let session = DeveloperSession(job: 5, client: try bench.client(), portDelta: portDelta, logger: bench.logger)
    let (audience, progress) = (Observed(Audience()), Observed(UploadProgress()))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await session.run(audience, progress) }
      defer { group.cancelAll() }
      audience.change { $0.note(.startDeveloperSession) }
      try await bench.progress.wait { $0.count == 1 }
      progress.change { _ in }
      progress.change { ($0.upTo, $0.outstandingImages) = ("a", 3) }
      try await bench.progress.wait { $0.count == 2 }
      #expect(bench.progress.value.last?.json["outstanding_images"] == 3)
      #expect(bench.progress.value.last?.path == "/liveviewhandler/api/v1/jobs/5/upload_progress")
      // A live handler that is gone costs nothing but a warning.
      bench.code.change { $0 = 500 }
      progress.change { $0.outstandingImages = 0 }
      try await bench.progress.wait { $0.count >= 3 }
    }
    await bench.stop()
  }
}
