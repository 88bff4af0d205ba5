import Agent
import Configuration
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

/// Every way in which somebody can want a job to stop, in each phase of it (protocol §7).
@Suite("Stops", .timeLimit(.minutes(3)))
struct StopTests {
  enum Phase: CaseIterable, Sendable { case setup, running, uploading }

  enum Wish: Sendable, Hashable, CaseIterable {
    case cancel, obsolete, abort, quit, stop

    /// How a job ends that is stopped so: result, reason, and whether its logs come.
    var end: (result: String, reason: String?, hasLogs: Bool) {
      switch self {
      case .cancel: ("user_cancelled", nil, true)
      case .obsolete: ("obsoleted", "obsolete", true)
      case .abort: ("incomplete", "abort", false)
      case .quit, .stop: ("incomplete", "quit: worker has been stopped or restarted", false)
      }
    }

    var command: JobCommand? {
      switch self {
      case .cancel: .cancel
      case .obsolete: .obsolete
      case .abort: .abort
      case .quit: .quit
      case .stop: nil
      }
    }
  }

  /// What a host waits for that is asked to end while nothing runs, and never gets.
  enum Silence: String, Sendable, CaseIterable { case cacheService, webUI }

  @Test("a host without a job ends at once, whatever it waits for", arguments: Silence.allCases)
  func silent(_ silence: Silence) async throws {
    let proxy = Latch<FaultProxy>()
    // Takes a request and answers none.
    let service = try ScriptedServer {
      _ = try $0.readRequest()
      _ = try $0.readRequest()
    }
    let bench = try await Workbench(
      through: { try BadWebUITests.front($0, proxy) },
      change: {
        guard silence == .cacheService else { return }
        $0.cache = Settings.Cache(directory: $0.pool.appending("cache"))
        $0.cache?.serviceURL = "http://127.0.0.1:\(service.port)"
      })
    let front = try await proxy.wait()
    let start = Latch<ContinuousClock.Instant>()
    let wasAsked = try await bench.run { _ in
      switch silence {
      case .cacheService: try await service.accepted.reach(1)
      case .webUI:
        try await bench.log.line(with: "Registered and connected")
        front.freeze()
      }
      start.open(with: .now)
    }
    #expect(wasAsked)
    let time = try await start.wait().duration(to: .now)
    note("From the stop to the end beside a silent \(silence.rawValue): \(time)")
    #expect(time < .seconds(2))
    front.stop()
    service.stop()
  }

  /// A set-up that lasts until it is stopped.
  private static let hook = "SYNC_ASSETS_HOOK = echo hook is there; exec sleep 1000"
  private static let running =
    #"{"term":"exit","modules":[{"name":"a","steps":[{"screenshot":{}},{"log":"now"},{"hang":true}]}]}"#
  private static let ended = #"{"modules":[{"name":"a","steps":[{"screenshot":{}}]}]}"#

  /// The reason's words, with those of a backend that was there to be stopped.
  private func reason(_ wish: Wish, in phase: Phase) -> String? {
    guard phase == .running, wish == .obsolete || wish == .abort, let word = wish.end.reason else {
      return wish.end.reason
    }
    return "isotovideo \(word): isotovideo received signal TERM"
  }

  private func isReached(_ phase: Phase, _ bench: Workbench, _ job: Int64, _ rule: FaultProxy.Rule?) async throws {
    switch phase {
    case .setup:
      // Each job's begins with one.
      try await bench.log.lines(with: "Running SYNC_ASSETS_HOOK", count: Int(job))
    // Before that, its backend may not yet know what SIGTERM means.
    case .running: try await bench.log.lines(with: "command server is up", count: Int(job))
    case .uploading: try await rule?.applied.reach(1)
    }
  }

  /// Cancels a job that would not end.
  private func end(_ job: Int64, in phase: Phase, _ bench: Workbench) async throws {
    try await isReached(phase, bench, job, nil)
    await bench.web.send(.cancel, for: job)
    #expect(try await bench.end(of: job).result == "user_cancelled")
  }

  @Test("an end that does not wait for the job is on its record, which blames the job for no death")
  func killed() async throws {
    let bench = try await Workbench()
    let folder = bench.pool.appending(".supervisor")
    try await bench.run(stopsHost: false) { commands in
      _ = try await bench.schedule(Self.running)
      try await bench.log.line(with: "command server is up")
      commands.yield(.kill)
    }
    let record = try JSON(parsing: try #require(try Files.read(folder.appending("job.json"))))
    #expect(record["holders"]?.array?.map { $0["fate"] } == ["asked"])
    guard case .running(let tree) = try await Supervisor.find(in: folder, mark: "WORKER_AGENT_POOL=\(bench.pool)")
    else {
      Issue.record("the job is not left to the next process")
      return
    }
    #expect(await tree.stop(grace: .zero) == .gone)
    await tree.release()
  }

  @Test("in each phase", arguments: Phase.allCases, Wish.allCases)
  func stop(in phase: Phase, by wish: Wish) async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(
      through: { try BadWebUITests.front($0, proxy) }, workers: phase == .setup ? Self.hook : "")
    // A log is on its way for a moment.
    let rule =
      phase == .uploading
      ? try await proxy.wait().on(
        "POST", "/artefact", body: { $0.contains("vars.json".utf8) }, occurrences: 1...1, .delay(.milliseconds(500)))
      : nil
    let id = try await bench.schedule(phase == .uploading ? Self.ended : Self.running)
    let wasAsked = try await bench.run { commands in
      try await isReached(phase, bench, id, rule)
      if let command = wish.command { await bench.web.send(command, for: id) } else { commands.yield(.stop) }
      let job = try await bench.end(of: id)
      if phase == .uploading {
        // What has ended by itself is not stopped any more.
        #expect(job.result == "passed" && job.reason == nil && job.files.contains("autoinst-log.txt"))
      } else {
        #expect(job.result == wish.end.result)
        #expect(job.reason == reason(wish, in: phase))
        #expect(job.files.contains("autoinst-log.txt") == wish.end.hasLogs, "\(job.files)")
        #expect(job.files.contains("worker-log.txt") == wish.end.hasLogs)
      }
      if wish == .stop { return }
      if wish == .quit, phase != .uploading { try await end(2, in: phase, bench) }
      // The slot takes the next one.
      let next = try await bench.schedule(Self.ended)
      if phase == .setup { return try await end(next, in: phase, bench) }
      #expect(try await bench.end(of: next).result == "passed")
    }
    #expect(wasAsked)
    #expect(await bench.web.job(id)?.timesEnded == 1, "it is told once how the job ended")
    // Only who is quit is scheduled anew.
    let isScheduledAnew = phase != .uploading && wish.end.reason?.hasPrefix("quit") == true
    #expect((await bench.web.job(2)?.settings["FAKE_ISOTOVIDEO_SCENARIO"] == .string(Self.running)) == isScheduledAnew)
    #expect(try Files.names(in: bench.pool) == [".locked", ".supervisor"], "the pool is clean")
  }
}
