import Agent
import Glibc
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

@Suite("Those who look on", .timeLimit(.minutes(5)))
struct LiveJobTests {
  /// A step that goes on when there is such a file.
  private static func until(_ name: String) -> String { #"{"until":"\#(name)"}"# }

  private static func go(_ bench: Workbench, _ name: String) throws {
    try Files.append([], to: bench.pool.appending(name))
  }

  /// Returns when a file of the pool is there, or not.
  private static func file(_ path: FilePath, isThere: Bool, _ watcher: FileWatcher) async throws {
    let watch = try watcher.watch(path.removingLastComponent(), for: [.created, .deleted, .movedIn])
    for await _ in watch where Files.exists(path) == isThere { return }
  }

  @Test("a viewer sees each new screen and all lines, and a backend knows that it is looked at")
  func viewer() async throws {
    let bench = try await Workbench()
    let watcher = FileWatcher { _ in }
    try await bench.run { _ in
      let shots = (1...3).map { #"{"screenshot":{"noise":1000}},\#(Self.until("shot-\($0)"))"# }.joined(separator: ",")
      let id = try await bench.schedule(
        #"{"modules":[{"name":"a","steps":[\#(Self.until("go")),{"log":"a line: öß"},\#(shots)]}]}"#)
      try await bench.log.line(with: "command server is up")
      await bench.web.send(.startLiveLog, for: id)
      try await Self.file(bench.pool.appending("live_log"), isThere: true, watcher)
      try Self.go(bench, "go")
      var seen = 0
      for await event in bench.web.events {
        guard case .live(id, let file, _) = event, file == "live.png" else { continue }
        seen += 1
        if seen == 3 { break }
        try Self.go(bench, "shot-\(seen)")
      }
      for await event in bench.web.events {
        if case .live(id, "autoinst-log-live.txt", _) = event,
          try bench.arrived(id, "autoinst-log-live.txt")?.contains("a line: öß\n") == true
        {
          break
        }
        if try bench.arrived(id, "autoinst-log-live.txt")?.contains("a line: öß\n") == true { break }
      }
      await bench.web.send(.stopLiveLog, for: id)
      try await Self.file(bench.pool.appending("live_log"), isThere: false, watcher)
      try Self.go(bench, "shot-3")
      let job = try await bench.end(of: id)
      #expect(job.result == "passed")
      let whole = try #require(try bench.arrived(id, "autoinst-log.txt"))
      let live = try #require(try bench.arrived(id, "autoinst-log-live.txt"))
      #expect(whole.hasPrefix(live))
    }
  }

  @Test("a pause is told at once, with all that is there of the module, and goes on when a developer says so")
  func developer() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let id = try await bench.schedule(
        """
        {"modules":[{"name":"a","steps":[{"screenshot":{"noise":100}},{"text":"x"}]},
        {"name":"b","steps":[{"screenshot":{}},{"save":true},\(Self.until("go")),{"pause":"reached module tests-b"}]}]}
        """)
      try await bench.log.line(with: "command server is up")
      let token = try #require(await bench.web.job(id)?.settings["JOBTOKEN"]?.string)
      await bench.web.send(.startDeveloperSession, for: id)
      let developer = try await WebSocketClient(proxies: .none).connect(
        WebSocketRequest("ws://127.0.0.1:\(20002 + 10 * bench.instance + 1)/\(token)/ws"))
      var events = bench.web.events.makeAsyncIterator()
      while let event = await events.next() { if case .progress(id, _) = event { break } }
      let begin = ContinuousClock.now
      try Self.go(bench, "go")
      while let event = await events.next() {
        if case .progress(id, let progress) = event, progress["upload_up_to"] == "b",
          progress["upload_up_to_current_module"] == 1, progress["outstanding_images"] == 0
        {
          break
        }
      }
      let time = begin.duration(to: .now)
      note("From the pause to the module at the web UI: \(time)")
      #expect(time < .seconds(8), "not with the next period")
      let job = try #require(await bench.web.job(id))
      #expect(job.statuses.last { $0["result"]?["b"] != nil }?["test_execution_paused"] == "reached module tests-b")
      #expect(job.files.isSuperset(of: ["a-1.png", "a-2.txt", "b-1.png"]))
      try await developer.send(#"{"cmd":"resume_test_execution"}"#)
      #expect(try await bench.end(of: id).result == "passed")
      await developer.close()
    }
  }

  @Test("viewers who come and go are counted right, by one worker after the other")
  func counting() async throws {
    let bench = try await Workbench()
    let (log, watcher) = (bench.folder.path.appending("agent.log"), FileWatcher { _ in })
    var agent = try AgentProcess(bench, log: log)
    var events = bench.web.events.makeAsyncIterator()
    while let event = await events.next() { if case .connected = event { break } }
    let id = try await bench.schedule(#"{"modules":[{"name":"a","steps":[{"screenshot":{}},\#(Self.until("end"))]}]}"#)
    while let event = await events.next() {
      if case .changed(let job) = event, job.id == id, job.state == .running { break }
    }
    var viewers = 0
    var random = SeededGenerator(1)
    var memory: [Int] = []
    for step in 0..<100 {
      if step == 40 || step == 70 {
        agent.send(SIGKILL)
        #expect(try await agent.exit() == SIGKILL)
        agent = try AgentProcess(bench, log: log)
        while let event = await events.next() { if case .connected = event { break } }
        try await Self.file(bench.pool.appending("live_log"), isThere: viewers > 0, watcher)
      }
      // Some go who have never come.
      let comes = viewers < 3 && Bool.random(using: &random)
      viewers = max(0, viewers + (comes ? 1 : -1))
      await bench.web.send(comes ? .startLiveLog : .stopLiveLog, for: id)
      try await Self.recorded(viewers, bench, watcher)
      try await Self.file(bench.pool.appending("live_log"), isThere: viewers > 0, watcher)
      if step == 75 || step == 99 { memory.append(try Self.memory(of: agent.pid)) }
    }
    if viewers == 0 { await bench.web.send(.startLiveLog, for: id) }
    // The period of a job that is looked at: beside what is told because somebody has come, its results are told again
    // and again in less time than the other period.
    func told(_ job: LocalJob?) -> Int { job?.statuses.count { $0["result"]?["a"] != nil } ?? 0 }
    let (begin, goal) = (ContinuousClock.now, told(await bench.web.job(id)) + 4)
    while let event = await events.next() {
      if case .changed(let job) = event, job.id == id, told(job) >= goal { break }
    }
    #expect(begin.duration(to: .now) < .seconds(10))
    if !isSanitized { #expect(memory[1] - memory[0] < 5 << 10, "\(memory) KiB") }
    try Self.go(bench, "end")
    #expect(try await bench.end(of: id).result == "passed")
    agent.send(SIGTERM)
    #expect(try await agent.exit() == 0)
    await bench.web.stop()
  }

  /// Returns when the job's record says so many viewers.
  private static func recorded(_ viewers: Int, _ bench: Workbench, _ watcher: FileWatcher) async throws {
    let folder = bench.pool.appending(".supervisor")
    for await _ in try watcher.watch(folder, for: .movedIn) {
      let record = try Files.read(folder.appending("job.json")).map { try JSON(parsing: $0) }
      if record?["live"]?["viewers"]?.integer ?? 0 == viewers { return }
    }
  }

  /// KiB that a process has in memory, at most so far.
  private static func memory(of pid: Int32, _ key: String = "VmHWM") throws -> Int {
    let status = String(decoding: try Files.read(FilePath("/proc/\(pid)/status")) ?? [], as: UTF8.self)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("\(key):") })
    return try #require(line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) })
  }

  @Test("a burst of lines arrives whole and in order, costs little memory, and keeps no command waiting")
  func burst() async throws {
    let bench = try await Workbench()
    let log = bench.folder.path.appending("agent.log")
    let agent = try AgentProcess(bench, log: log)
    var events = bench.web.events.makeAsyncIterator()
    while let event = await events.next() { if case .connected = event { break } }
    var times: [Duration] = []
    // The embedded web UI takes a second for each, without optimisation.
    let most = isSanitized ? 3 : getenv("LONG_TESTS") == nil ? 10 : 50
    for megabytes in [most, 3, 3] {
      let lines = #"{"repeat":\#(megabytes),"steps":[{"write":"autoinst-log.txt","size":1000000,"append":true}]}"#
      let id = try await bench.schedule(
        """
        {"modules":[{"name":"a","steps":[\(Self.until("go")),{"log":"begin"},\(lines),{"log":"the end"},\(Self.until("more")),
        \(lines),{"hang":true}]}]}
        """)
      while let event = await events.next() {
        if case .changed(let job) = event, job.id == id, job.state == .running { break }
      }
      await bench.web.send(.startLiveLog, for: id)
      while let event = await events.next() { if case .live(id, _, _) = event { break } }
      let before = try Self.memory(of: agent.pid)
      try Self.go(bench, "go")
      let size = Int64(megabytes) * 1_000_000
      while let event = await events.next() {
        if case .live(id, "autoinst-log-live.txt", let arrived) = event, arrived > size {
          let whole = Files.status(of: bench.pool.appending("autoinst-log.txt"))?.size
          if arrived == whole { break }
        }
      }
      let whole = try #require(try Files.read(bench.pool.appending("autoinst-log.txt")))
      let live = try #require(try Files.read(bench.web.folder.appending("\(id)/autoinst-log-live.txt")))
      #expect(whole.starts(with: live) && live.count > size)
      let after = try Self.memory(of: agent.pid)
      note("A burst of \(megabytes) MB: \(after - before) KiB more at most, \(after) KiB in all")
      if !isSanitized { #expect(after - before < 20 << 10) }

      let token = try #require(await bench.web.job(id)?.settings["JOBTOKEN"]?.string)
      let listener = try await WebSocketClient(proxies: .none).connect(
        WebSocketRequest("ws://127.0.0.1:\(20002 + 10 * bench.instance + 1)/\(token)/ws"))
      try Self.go(bench, "more")
      while let event = await events.next() {
        if case .live(id, "autoinst-log-live.txt", let arrived) = event, arrived > size + 1_000_000 { break }
      }
      let start = ContinuousClock.now
      await bench.web.send(.cancel, for: id)
      for await message in listener.messages where message.contains("stopping_test_execution") { break }
      times.append(start.duration(to: .now))
      await listener.close()
      #expect(try await bench.end(of: id).result == "user_cancelled")
    }
    times.sort()
    note("From 'cancel' to the backend's broadcast, in a burst of lines: \(times)")
    #expect(times[1] <= .milliseconds(200), "\(times)")
    agent.send(SIGTERM)
    #expect(try await agent.exit() == 0)
    await bench.web.stop()
  }
}
