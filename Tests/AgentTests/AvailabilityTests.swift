import Agent
import Configuration
import Glibc
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

/// What keeps a slot from taking jobs, on a real host: web UIs hear of it, and of its end.
@Suite("Availability", .timeLimit(.minutes(2)))
struct AvailabilityTests {
  /// So that a slot has looked again before a test has looked up.
  static let soon = Duration.milliseconds(20)

  /// Waits for a message of the worker.
  private func message(_ bench: Workbench, _ isMeant: (JSON) -> Bool) async -> JSON? {
    for await event in bench.web.events {
      if case .message(let message, _) = event, isMeant(message) { return message }
    }
    return nil
  }

  /// The slot shows a reason, and takes a job when that is gone.
  private func isBroken(_ bench: Workbench, reason: String, mend: @Sendable @escaping () async throws -> Void)
    async throws
  {
    try await bench.run { _ in
      let status = await message(bench) { $0["type"] == "worker_status" && $0["status"] == "broken" }
      #expect(status?["reason"]?.string == reason)
      let job = try await bench.schedule(BadInputTests.module)
      #expect(await bench.web.job(job)?.state == .scheduled)
      try await mend()
      let end = try await bench.end(of: job)
      #expect(end.result == "passed", "\(end.reason ?? "")")
    }
  }

  // MARK: Load

  static let highLoad =
    "The average load (100.00 1.00 1.00) is exceeding the configured threshold of 10. The worker will temporarily not "
    + "accept new jobs until the load is lower again."

  private func write(_ load: String, to folder: TemporaryFolder) throws {
    try Files.replace(folder.path.appending("load"), with: Array("\(load) 1.00 1.00 1/100 1234\n".utf8))
  }

  private func bench(loadIn folder: TemporaryFolder, recheck: Duration? = nil) async throws -> Workbench {
    let file = folder.path.appending("load")
    return try await Workbench(
      recheck: recheck,
      change: {
        $0.criticalLoad = 10
        $0.loadAverageFile = file
      })
  }

  @Test("a load that has risen since the slot was free: the job is rejected for it")
  func risenLoad() async throws {
    let folder = try TemporaryFolder()
    try write("1.00", to: folder)
    let bench = try await bench(loadIn: folder)
    try await bench.run { _ in
      try await bench.connected()
      try write("100.00", to: folder)
      let job = try await bench.schedule(BadInputTests.module)
      let rejection = await message(bench) { $0["type"] == "rejected" }
      #expect(rejection == ["type": "rejected", "job_ids": [.integer(job)], "reason": .string(Self.highLoad)])
      try await bench.log.line(with: "Refusing to grab job \(job) from \(bench.web.url): \(Self.highLoad)")
    }
  }

  @Test("a high load, until it is lower")
  func highLoad() async throws {
    let folder = try TemporaryFolder()
    try write("100.00", to: folder)
    let bench = try await bench(loadIn: folder, recheck: Self.soon)
    try await isBroken(bench, reason: Self.highLoad) { try write("1.00", to: folder) }
  }

  @Test("a load that is not known keeps no jobs off, and is logged once")
  func unknownLoad() async throws {
    let folder = try TemporaryFolder()
    try write("unknown", to: folder)
    let bench = try await bench(loadIn: folder, recheck: Self.soon)
    try await bench.run { _ in
      for _ in 0..<2 {
        let end = try await bench.end(of: try await bench.schedule(BadInputTests.module))
        #expect(end.result == "passed")
      }
    }
    let lines = bench.log.lines.filter { $0.contains("verage load") }
    #expect(lines.count == 1, "\(bench.log.lines)")
  }

  // MARK: Pool

  @Test("too little space in the pool")
  func space() async throws {
    let bench = try await Workbench(change: { $0.minimumFreeSpace = 1 << 60 })
    try await bench.run { _ in
      let status = await message(bench) { $0["type"] == "worker_status" }
      let reason = try #require(status?["reason"]?.string)
      #expect(
        reason.contains("GiB are free in \(bench.pool), and POOL_MIN_FREE_GB asks for 1073741824: free space there"))
    }
  }

  @Test("a QEMU that still runs on the pool; the pid file of one that does not is removed")
  func qemu() async throws {
    let bench = try await Workbench(recheck: Self.soon)
    try Files.makeDirectory(bench.pool)
    let script = """
      cd '\(bench.pool)'; cp /bin/bash .qemu-test; mkfifo ../pipe
      exec '\(bench.pool)/.qemu-test' -c 'touch ../up; read -r _ <>../pipe'
      """
    let qemu = try AgentProcess(
      Command("bash", arguments: ["-c", script], environment: bench.environment, workingDirectory: "/"),
      log: bench.folder.path.appending("qemu.log"))
    let folder = bench.pool.removingLastComponent()
    try await waitForFiles(in: folder) { Files.exists(folder.appending("up")) }
    try Files.move(bench.pool.appending(".qemu-test"), to: bench.pool.appending("qemu-test"))
    let pidFile = bench.pool.appending("qemu.pid")
    try Files.replace(pidFile, with: Array("\(qemu.pid)\n".utf8))
    let reason = "A QEMU instance using the current pool directory is still running (PID: \(qemu.pid))"
    try await isBroken(bench, reason: reason) {
      qemu.send(SIGKILL)
      try await qemu.exit()
    }
    #expect(!Files.exists(pidFile))
  }

  // MARK: Programs

  @Test("without job-supervisor, or with one that cannot be executed, the slot is broken until it is installed")
  func supervisor() async throws {
    let folder = try TemporaryFolder()
    let file = folder.path.appending("job-supervisor")
    let missing = try await Workbench(libexec: folder.path, recheck: Self.soon)
    try await isBroken(missing, reason: "Unable to start jobs: job-supervisor is missing, looked for \(file)") {
      try Files.symbolicLink(file, to: FilePath(try Workbench.program("job-supervisor")))
    }
    #expect(missing.log.lines.contains { $0.contains("Unable to start jobs: job-supervisor is missing") })
    try Files.replace(file, with: [], permissions: .init(rawValue: 0o644))
    let unusable = try await Workbench(libexec: folder.path, recheck: Self.soon)
    try await isBroken(
      unusable, reason: "Unable to start jobs: \(file) cannot be executed: Permission denied"
    ) {
      try Files.remove(file)
      try Files.symbolicLink(file, to: FilePath(try Workbench.program("job-supervisor")))
    }
  }

  // MARK: The virtual switch

  @Test(
    "class tap without the switch's service",
    arguments: [(#"echo "b false""#, false), ("exit 1", true), ("exec /nowhere", true)])
  func virtualSwitch(answer: String, isUnknown: Bool) async throws {
    let programs = ["busctl": "[ -e \"$(dirname \"$0\")/there\" ] && echo 'b true' || { \(answer); }"]
    let bench = try await Workbench(
      programs: programs, recheck: Self.soon,
      change: {
        $0.workerClass = "test, tap"
        $0.virtualSwitchService = "the.switch"
      })
    try await isBroken(bench, reason: "D-Bus service 'the.switch' is not running") {
      try Files.replace(bench.folder.path.appending("bin/there"), with: [])
    }
    let lines = bench.log.lines.filter {
      $0.contains("Whether org.opensuse.os_autoinst.switch is running cannot be asked: busctl failed")
    }
    #expect(lines.count == (isUnknown ? 1 : 0))
  }

  // MARK: The limit of starts

  private func bench(_ directory: FilePath, expiration: Duration, recheck: Duration = soon) async throws -> Workbench {
    let lock = Settings.Lock(name: "a/b", limit: 1, expiration: expiration, directory: directory)
    return try await Workbench(recheck: recheck, change: { $0.lock = lock })
  }

  @Test("one place for two slots: the other one has it when the first job has ended, or its time is over")
  func place() async throws {
    for expiration in [Duration.seconds(3600), .milliseconds(10)] {
      let folder = try TemporaryFolder()
      let (first, second) = (
        try await bench(folder.path, expiration: expiration), try await bench(folder.path, expiration: expiration)
      )
      try await first.run { _ in
        let waits = expiration > .seconds(1)
        let running = try await first.schedule(JobTests.waiting)
        try await first.log.line(with: waits ? "Accepting job" : "command server is up")
        if waits {
          try await isBroken(second, reason: "Limited by configured lock 'a/b'") {
            await first.web.send(.cancel, for: running)
          }
        } else {
          try await second.run { _ in
            let job = try await second.end(of: try await second.schedule(BadInputTests.module))
            #expect(job.result == "passed", "\(job.reason ?? "")")
          }
          await first.web.send(.cancel, for: running)
        }
        #expect(try await first.end(of: running).result == "user_cancelled")
      }
    }
  }

  @Test("the place was taken since the slot was free: the job is rejected, and taken a little later")
  func takenPlace() async throws {
    let folder = try TemporaryFolder()
    let limit = Settings.Lock(name: "start", limit: 1, directory: folder.path)
    let bench = try await Workbench(change: { $0.lock = limit })
    let file = folder.path.appending(".job-starts/start.1")
    try await bench.run { _ in
      try await bench.connected()
      try Files.makeDirectory(file.removingLastComponent())
      let lock = try FileLock(file)
      let job = try await bench.schedule(BadInputTests.module)
      let rejection = await message(bench) { $0["type"] == "rejected" }
      #expect(rejection?["reason"] == "Limited by configured lock 'start'")
      #expect(await bench.web.job(job)?.state == .scheduled)
      withExtendedLifetime(lock) {}
    }
  }

  @Test("an agent that is killed gives its place back; when it comes again, its job goes on without one")
  func killed() async throws {
    let first = try await Workbench(workers: "LOCK_NAME = start\nLOCK_LIMIT = 1\nLOCK_EXPIRATION = 3600")
    let log = first.folder.path.appending("agent.log")
    let killed = try AgentProcess(first, log: log)
    let job = try await first.schedule(JobTests.waiting)
    try await first.web.event { event in
      if case .changed(let known) = event, known.state == .running { true } else { false }
    }
    let limit = Settings.Lock(name: "start", limit: 1, directory: first.folder.path.appending("openqa/cache"))
    let second = try await Workbench(recheck: Self.soon, change: { $0.lock = limit })
    try await second.run { _ in
      let status = await message(second) { $0["type"] == "worker_status" }
      #expect(status?["reason"] == "Limited by configured lock 'start'")
      killed.send(SIGKILL)
      try await killed.exit()
      let other = try await second.schedule(JobTests.waiting)
      try await second.log.line(with: "command server is up")
      let agent = try AgentProcess(first, log: log)
      try await first.web.connected()
      await first.web.send(.cancel, for: job)
      #expect(try await first.end(of: job).result == "user_cancelled")
      agent.send(SIGTERM)
      #expect(try await agent.exit() == 0)
      await second.web.send(.cancel, for: other)
      #expect(try await second.end(of: other).result == "user_cancelled")
    }
    await first.web.stop()
  }

  @Test("places that cannot be used: the slot is broken and says why")
  func unusablePlaces() async throws {
    let folder = try TemporaryFolder()
    let file = folder.path.appending("file")
    try Files.replace(file, with: [])
    let bench = try await bench(file, expiration: .seconds(1))
    try await isBroken(
      bench,
      reason: "Unable to use the configured lock 'a/b': create \(file)/.job-starts: Not a directory (a file is in the "
        + "place of a directory: move it away)"
    ) { try Files.remove(file) }
  }
}
