import Foundation
import Glibc
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("A job that lost somebody", .timeLimit(.minutes(2)))
struct InterruptedJobTests {
  private static let forever = #"{"term":"exit","modules":[{"name":"a","steps":[{"screenshot":{}},{"hang":true}]}]}"#
  private static let short = #"{"modules":[{"name":"a","steps":[{"screenshot":{}}]}]}"#

  /// A slot in mid-job, in a process of its own.
  private struct Scene {
    let bench: Workbench
    let log: FilePath
    let job: Int64
    var agent: AgentProcess

    init(_ scenario: String = InterruptedJobTests.forever, _ settings: [String: JSON] = [:]) async throws {
      bench = try await Workbench()
      log = bench.folder.path.appending("agent.log")
      agent = try AgentProcess(bench, log: log)
      job = try await bench.schedule(scenario, settings)
      try await bench.web.event { event in
        if case .changed(let job) = event, job.state == .running { true } else { false }
      }
    }

    var state: FilePath { bench.pool.appending(".supervisor") }

    mutating func kill() async throws {
      agent.send(SIGKILL)
      try await agent.exit()
    }

    mutating func restart() throws { agent = try AgentProcess(bench, log: log) }

    /// Changes the job's record while no agent runs.
    func edit(_ change: (inout JSON) -> Void) throws {
      let file = state.appending("job.json")
      var record = try JSON(parsing: try #require(try Files.read(file)))
      change(&record)
      try Files.replace(file, with: record.bytes)
    }

    /// Kills the agent together with the job's backend, so that nothing is left of it.
    mutating func killAll() async throws {
      Glibc.kill(try await supervisor(), SIGKILL)
      try await kill()
      _ = await Leftovers.end(mark: mark)
      for name in ["socket", "state"] { try Files.remove(state.appending(name)) }
    }

    var story: String {
      get throws { String(decoding: try Files.read(log) ?? [], as: UTF8.self) }
    }

    /// Processes that belong to the pool.
    var processes: [Leftover] { Leftovers.find(mark: mark) }
    private var mark: String { "WORKER_AGENT_POOL=\(bench.pool)" }

    func supervisor() async throws -> Int32 {
      guard case .running(let tree) = try await Supervisor.find(in: state, mark: mark) else {
        throw CancellationError()
      }
      return tree.identity.pid
    }

    /// A supervisor of a version that is not there yet.
    func startNewerSupervisor() async throws {
      let program = try NewerSupervisor.make(in: bench.folder.path)
      let (name, value) = ("WORKER_AGENT_POOL", bench.pool.string)
      let start = "exec \(program) \(state)/socket 1 >\(bench.folder.path)/output 2>&1 </dev/null"
      _ = try await Program.output(
        of: Command(
          "/bin/sh", arguments: ["-c", start], environment: ["PATH": "/usr/bin:/bin", name: value],
          workingDirectory: bench.folder.path),
        limit: .seconds(30))
    }

    /// The slot is free, and shows it.
    func finish(_ expected: String = "passed") async throws {
      let next = try await bench.end(of: try await bench.schedule(InterruptedJobTests.short))
      let story = try story
      #expect(next.result == expected, "\(story)")
      agent.send(SIGTERM)
      #expect(try await agent.exit() == 0)
      let left = processes
      #expect(left.isEmpty, "\(left)")
      await bench.web.stop()
    }
  }

  @Test(
    "a record that is of no use is set aside; the web UI hears that the job is lost",
    arguments: ["{", #"{"version":9}"#])
  func uselessRecord(text: String) async throws {
    var scene = try await Scene()
    try await scene.kill()
    try Files.replace(scene.state.appending("job.json"), with: text.utf8)
    try scene.restart()
    let end = try await scene.bench.end(of: scene.job)
    #expect(end.result == "incomplete" && end.reason?.hasPrefix("abandoned") == true)
    try await scene.finish()
    #expect(Files.exists(scene.state.appending("job.json.unusable")))
    #expect(try scene.story.contains("belongs to no job"))
  }

  /// What a newer worker has left, and why its job is lost.
  enum Newer: CaseIterable {
    case record
    case reason
    case state
    case supervisor

    var why: String {
      switch self {
      case .record: "a newer worker has written its record (version 2, understood up to 1)"
      case .reason: #"its record is corrupt: {"name":"later"} is no reason to stop"#
      case .state: "a newer job-supervisor has written how its backend ended (version 2)"
      case .supervisor: "is a newer one (it speaks version 2 of its protocol, understood up to 1)"
      }
    }
  }

  @Test(
    "after a downgrade: a job that is not understood is ended, reported lost, and run again", arguments: Newer.allCases)
  func downgrade(_ newer: Newer) async throws {
    var scene = try await Scene()
    switch newer {
    case .record, .reason:
      try await scene.kill()
      try scene.edit { if newer == .record { $0["version"] = 2 } else { $0["reason"] = ["name": "later"] } }
    case .state:
      try await scene.killAll()
      try Files.replace(scene.state.appending("state"), with: "job-supervisor 2 7 {}\n".utf8)
    case .supervisor:
      try await scene.killAll()
      try await scene.startNewerSupervisor()
    }
    try scene.restart()
    let end = try await scene.bench.end(of: scene.job)
    let story = try scene.story
    #expect(end.result == "incomplete" && end.copy == scene.job + 1)
    #expect(end.reason?.hasPrefix("worker lost this job: ") == true, "\(story)")
    #expect(end.reason?.hasSuffix(newer.why) == true, "\(end.reason ?? "")")
    #expect(end.files.contains("autoinst-log.txt"), "\(end.files)")
    try await scene.bench.web.event { event in
      if case .changed(let job) = event, job.id == end.copy, job.state == .running { true } else { false }
    }
    await scene.bench.web.send(.cancel, for: scene.job + 1)
    #expect(try await scene.bench.end(of: scene.job + 1).result == "user_cancelled")
    try await scene.finish()
    #expect(!Files.exists(scene.state.appending("job.json")))
  }

  @Test("a record that somebody else may have written is not believed", arguments: ["mode", "link"])
  func forgedRecord(by way: String) async throws {
    var scene = try await Scene()
    try await scene.kill()
    let file = scene.state.appending("job.json")
    if way == "mode" {
      try Files.setPermissions(file, to: FilePermissions(rawValue: 0o666))
    } else {
      let elsewhere = scene.bench.folder.path.appending("forged")
      try Files.move(file, to: elsewhere)
      try Files.symbolicLink(file, to: elsewhere)
    }
    try scene.restart()
    let end = try await scene.bench.end(of: scene.job)
    #expect(end.result == "incomplete" && end.reason?.hasPrefix("abandoned") == true)
    try await scene.finish()
    #expect(try scene.story.contains("the file is kept as"))
  }

  @Test("a job that kills its agents is given up after the third, and the slot goes on")
  func deadlyJob() async throws {
    var scene = try await Scene()
    for _ in 1..<3 {
      try await scene.kill()
      try scene.restart()
      try await scene.bench.web.connected()
    }
    try await scene.kill()
    try scene.restart()
    let end = try await scene.bench.end(of: scene.job)
    #expect(end.result == "incomplete" && end.reason == "worker died 3 times while running this job")
    #expect(end.files.contains("autoinst-log.txt"), "\(end.files)")
    try await scene.finish()
    #expect(!Files.exists(scene.state.appending("job.json")))
  }

  /// What a record says, and what becomes of the job.
  struct Deaths: Sendable {
    var fates: [String]
    var more: [String: JSON] = [:]
    var reason: String?
    var hasLogs = true
  }

  @Test(
    "how a job ends that earlier agents have died with",
    arguments: [
      Deaths(fates: ["early", "early"]), Deaths(fates: ["early", "early", "early", "lasted"]),
      Deaths(fates: ["early", "early", "early", "asked", "early"]),
      Deaths(fates: ["early", "early", "early"], reason: "worker died 3 times while running this job"),
      // In set-up: there is no backend.
      Deaths(
        fates: ["early", "early", "early"], more: ["prepared": .null],
        reason: "worker died 3 times while running this job"),
      // While it reported that: not even logs are read any more.
      Deaths(
        fates: ["early", "early", "early", "early"], reason: "worker died 4 times while running this job",
        hasLogs: false),
    ])
  func deaths(_ deaths: Deaths) async throws {
    var scene = try await Scene()
    try await deaths.more.isEmpty ? scene.kill() : scene.killAll()
    try scene.edit { record in
      record["holders"] = .array(deaths.fates.map { ["pid": 1, "fate": .string($0)] })
      for (key, value) in deaths.more { record[key] = value == .null ? Optional<JSON>.none : value }
    }
    try scene.restart()
    if deaths.reason == nil {
      try await scene.bench.web.connected()
      await scene.bench.web.send(.cancel, for: scene.job)
    }
    let end = try await scene.bench.end(of: scene.job)
    #expect(end.result == (deaths.reason == nil ? "user_cancelled" : "incomplete"))
    let story = try scene.story
    #expect(end.reason == deaths.reason, "\(story)")
    #expect(end.files.contains("autoinst-log.txt") == deaths.hasLogs, "\(end.files)")
    try await scene.finish()
    #expect(!Files.exists(scene.state.appending("job.json")))
  }

  @Test("agents that died after the job's end was told: its record goes, and the slot is free")
  func deathsAfterEnd() async throws {
    var scene = try await Scene()
    try await scene.killAll()
    await scene.bench.web.abandon(scene.job)
    try scene.edit { record in
      record["holders"] = .array((0..<3).map { _ in ["pid": 1, "fate": "early"] })
      record["reason"] = ["name": "done"]
      record["finished"] = ["delivered", "told"]
    }
    try scene.restart()
    try await scene.finish()
    #expect(!Files.exists(scene.state.appending("job.json")))
    #expect(try scene.story.contains("Leaving job \(scene.job) as it is"))
  }

  @Test("a stop and a handover are no deaths")
  func askedEnds() async throws {
    let scene = try await Scene()
    let pid = scene.agent.pid
    for _ in 1...4 {
      scene.agent.send(SIGUSR2)
      try await scene.bench.web.connected()
    }
    #expect(scene.agent.pid == pid)
    await scene.bench.web.send(.cancel, for: scene.job)
    #expect(try await scene.bench.end(of: scene.job).result == "user_cancelled")
    try await scene.finish()
  }

  @Test("the supervisor is killed")
  func supervisorKilled() async throws {
    let scene = try await Scene()
    kill(try await scene.supervisor(), SIGKILL)
    let end = try await scene.bench.end(of: scene.job)
    #expect(end.result == "incomplete" && end.reason == "died: terminated prematurely, see log output for details")
    #expect(end.files.contains("autoinst-log.txt"))
    try await scene.finish()
    #expect(try scene.story.contains("went away before its tree ended"))
  }

  @Test("agent and supervisor are killed", arguments: [[], ["socket"], ["state"], ["socket", "state"]])
  func bothKilled(removed: [String]) async throws {
    var scene = try await Scene()
    kill(try await scene.supervisor(), SIGKILL)
    try await scene.kill()
    for name in removed { try Files.remove(scene.state.appending(name)) }
    try scene.restart()
    // Without a trace of its backend, a job begins anew.
    if removed.count == 2 {
      var isAccepted = false
      var changes = 0
      for await event in scene.bench.web.events {
        if case .message(let message, _) = event, message["type"] == "accepted" { isAccepted = true }
        // Of its acceptance and of its first status; before that it would only be dropped.
        if isAccepted, case .changed(let job) = event, job.id == scene.job { changes += 1 }
        if changes == 2 { break }
      }
      await scene.bench.web.send(.cancel, for: scene.job)
    }
    let end = try await scene.bench.end(of: scene.job)
    #expect(end.result == (removed.count == 2 ? "user_cancelled" : "incomplete"))
    try await scene.finish()
  }

  @Test("the web UI has given the job up meanwhile")
  func givenUp() async throws {
    var scene = try await Scene()
    try await scene.kill()
    await scene.bench.web.abandon(scene.job)
    try scene.restart()
    try await scene.finish()
  }

  @Test("another agent that comes to the same pool waits, and takes the job over")
  func secondAgent() async throws {
    var scene = try await Scene()
    let log = scene.bench.folder.path.appending("second.log")
    let second = try AgentProcess(scene.bench, log: log)
    // What it waits for is the end of the first.
    let waiting =
      "Waiting for another worker-agent to leave \(scene.bench.pool): it is running with PID \(scene.agent.pid)"
    try await waitForFiles(in: scene.bench.folder.path) {
      String(decoding: try Files.read(log) ?? [], as: UTF8.self).contains(waiting)
    }
    try await scene.kill()
    scene.agent = second
    try await scene.bench.web.connected()
    await scene.bench.web.send(.cancel, for: scene.job)
    #expect(try await scene.bench.end(of: scene.job).result == "user_cancelled")
    try await scene.finish()
  }

  @Test("time limits count from the first start")
  func limits() async throws {
    var scene = try await Scene(InterruptedJobTests.forever, ["MAX_JOB_TIME": "600"])
    try await scene.kill()
    try scene.edit { $0["started_at"] = .number("\(Boot.time - 3600)") }
    try scene.restart()
    // At once, not ten minutes after the restart.
    #expect(try await scene.bench.end(of: scene.job).result == "timeout_exceeded")
    #expect(try scene.story.contains("Going on with job"))
    try await scene.finish()
  }

  @Test("a job that is taken back can be stopped", arguments: [JobCommand.cancel, .obsolete])
  func stop(command: JobCommand) async throws {
    var scene = try await Scene()
    try await scene.kill()
    try scene.restart()
    try await scene.bench.web.connected()
    await scene.bench.web.send(command, for: scene.job)
    let end = try await scene.bench.end(of: scene.job)
    #expect(end.result == (command == .cancel ? "user_cancelled" : "obsoleted") && end.files.contains("vars.json"))
    try await scene.finish()
  }
}
