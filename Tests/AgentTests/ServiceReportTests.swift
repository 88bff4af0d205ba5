import Configuration
import Foundation
import Glibc
import Support
import Testing

@testable import Agent

@Suite("ServiceReport", .timeLimit(.minutes(1)))
struct ServiceReportTests {
  @Test("ready when every web UI was asked, then a status for each change")
  func states() async throws {
    let log = try LogRecorder()
    let manager = try NotifySocket()
    let report = ServiceReport(
      try manager.notifier(), slots: [3, 4], logger: SlotLog(level: .info, output: log.output).logger())
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await report.run(Heartbeat(parts: [])) }
      report.note(SlotCondition(isRegistered: true), slot: 3)
      try await manager.next(is: "STATUS=slot 3: idle, slot 4: starts")
      report.note(SlotCondition(isRegistered: true, unavailability: "no pool"), slot: 4)
      try await manager.next(is: "READY=1\nSTATUS=slot 3: idle, slot 4: broken: no pool")
      report.note(SlotCondition(isRegistered: true), slot: 4)
      report.note(SlotCondition(isRegistered: true, phase: .busy(job: 7, webUI: 0)), slot: 3)
      try await manager.next(is: "STATUS=slot 3: idle, slot 4: idle")
      try await manager.next(is: "STATUS=slot 3: job 7, slot 4: idle")
      await report.stopping()
      try await manager.next(is: "STOPPING=1")
      group.cancelAll()
    }
  }

  @Test("a slot that waits for its pool is no reason to wait longer")
  func poolTaken() async throws {
    let log = try LogRecorder()
    let manager = try NotifySocket()
    let report = ServiceReport(
      try manager.notifier(), slots: [3], logger: SlotLog(level: .info, output: log.output).logger())
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await report.run(Heartbeat(parts: [])) }
      report.note(SlotCondition(poolHolder: "12"), slot: 3)
      try await manager.next(is: "READY=1\nSTATUS=waits for another worker-agent, PID 12, to leave the pool")
      report.note(SlotCondition(isRegistered: true), slot: 3)
      try await manager.next(is: "STATUS=idle")
      group.cancelAll()
    }
  }

  @Test("the watchdog is fed while all goes on, not with a slot that hangs, and with a pool that does")
  func watchdog() async throws {
    let log = try LogRecorder()
    let manager = try NotifySocket()
    let held = Guarded<Set<String>>([])
    let (rounds, round) = AsyncStream<Void>.makeStream()
    @Sendable func part(_ name: String, isVital: Bool = true) -> Heartbeat.Part {
      Heartbeat.Part(name: name, isVital: isVital) { body in
        if name == "websocket" { round.yield() }
        if !held.withLock({ $0.contains(name) }) { body() }
      }
    }
    let heartbeat = Heartbeat(parts: [
      part("websocket"), part("slot 3"), part("pool 3", isVital: false),
    ])
    let report = ServiceReport(
      try manager.notifier(watchdog: .milliseconds(40)), slots: [3],
      logger: SlotLog(level: .info, output: log.output).logger())
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await report.run(heartbeat) }
      try await manager.next(is: "WATCHDOG=1")
      held.withLock { $0 = ["slot 3"] }
      try await log.line(with: "slot 3 does not answer: the service manager restarts")
      // Beats from before are all there is, however often it asks again.
      _ = manager.waiting()
      var round = rounds.makeAsyncIterator()
      for _ in 0..<5 { await round.next() }
      #expect(manager.waiting() == [])
      held.withLock { $0 = ["pool 3"] }
      try await log.line(with: "pool 3 does not answer: its file system may hang")
      try await manager.next(is: "WATCHDOG=1")
      held.withLock { $0 = [] }
      try await log.line(with: "All answers again")
      group.cancelAll()
    }
  }

  @Test("silent parts are told by whether the process is of use without them")
  func silence() async {
    let dead: @Sendable (@escaping @Sendable () -> Void) -> Void = { _ in }
    let alive: @Sendable (@escaping @Sendable () -> Void) -> Void = { $0() }
    func silence(
      slot: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
      pool: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
    ) async -> Heartbeat.Silence {
      await Heartbeat(parts: [
        .init(name: "slot", submit: slot), .init(name: "pool", isVital: false, submit: pool),
      ]).silence(within: .milliseconds(50))
    }
    #expect(await silence(slot: alive, pool: alive) == .init())
    #expect(await silence(slot: dead, pool: alive) == .init(vital: ["slot"]))
    #expect(await silence(slot: dead, pool: dead) == .init(vital: ["slot"], other: ["pool"]))
    #expect(await silence(slot: alive, pool: dead) == .init(other: ["pool"]))
  }

  @Test("a host under a service manager says ready, its job, its life and its end")
  func host() async throws {
    let bench = try await Workbench()
    let manager = try NotifySocket()
    let scenario = #"{"setup": [{"wait": 300}], "modules": []}"#
    let job = try await bench.schedule(scenario)
    async let messages = manager.messages(upTo: "STOPPING=1")
    try await bench.run(notifier: manager.notifier(watchdog: .milliseconds(200))) { _ in
      _ = try await bench.end(of: job)
    }
    let said = try await messages
    let ready = try #require(said.firstIndex { $0.hasPrefix("READY=1\nSTATUS=") })
    let busy = try #require(said.firstIndex { $0.contains("STATUS=job \(job)") })
    #expect(ready <= busy)
    #expect(said.contains("WATCHDOG=1"))
    #expect(said.count { $0.hasPrefix("READY=1") } == 1)
  }

  @Test("a host whose web UI does not answer is ready too")
  func unreachable() async throws {
    let bench = try await Workbench(through: { _ in "http://127.0.0.1:1" })
    let manager = try NotifySocket()
    try await bench.run(notifier: try manager.notifier()) { _ in
      let messages = try await manager.messages(upTo: "READY=1\nSTATUS=idle")
      #expect(messages.dropLast().allSatisfy { $0 == "STATUS=registers" })
    }
  }
}

@Suite("ServiceUnit")
struct ServiceUnitTests {
  @Test(
    "the unit is found in either version of the cgroups",
    arguments: [
      ("0::/worker.slice/worker-agent.slice/worker-agent@3.service\n", "worker-agent@3.service"),
      ("12:pids:/x.service\n1:name=systemd:/worker.slice/worker-agent@3.service\n0::/", "worker-agent@3.service"),
      ("0::/worker.slice/worker-agent@3.service/job-7\n", "worker-agent@3.service"),
      ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", nil),
      ("0::/user.slice/user-1000.slice/session-2.scope\n", nil),
      ("0::/\n", nil), ("", nil), ("nonsense\n::\n", nil),
    ] as [(String, String?)])
  func name(cgroups: String, name: String?) { #expect(ServiceUnit.name(inCgroups: cgroups) == name) }

  @Test("a unit that kills the job is named with the line to change")
  func warning() throws {
    for mode in ["mixed", "control-group"] {
      let text = try #require(ServiceUnit.warning(unit: "w@3.service", killMode: mode))
      for part in ["w@3.service has KillMode=\(mode)", "KillMode=process", "[Service]", "systemctl edit w@3.service"] {
        #expect(text.contains(part))
      }
    }
    for mode in ["process", "none", ""] { #expect(ServiceUnit.warning(unit: "w@3.service", killMode: mode) == nil) }
  }

  @Test("no unit is asked about outside of one, and a systemctl that fails is no warning")
  func silent() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "unit-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let systemctl = folder.appending(path: "systemctl").path
    let cgroups = "0::/worker-agent@3.service\n"
    let environment = ["PATH": folder.path, "INVOCATION_ID": "1"]
    #expect(await ServiceUnit.warning(environment: environment, cgroups: cgroups) == nil)
    let script = "#!/bin/sh\n[ \"$*\" = 'show --property=KillMode --value worker-agent@3.service' ] && echo mixed\n"
    _ = FileManager.default.createFile(
      atPath: systemctl, contents: Data(script.utf8),
      attributes: [.posixPermissions: 0o755])
    #expect(await ServiceUnit.warning(environment: environment, cgroups: cgroups)?.contains("mixed") == true)
    #expect(await ServiceUnit.warning(environment: ["PATH": folder.path], cgroups: cgroups) == nil)
  }
}
