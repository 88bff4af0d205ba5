import Foundation
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
      for await event in bench.web.events {
        if case .changed(let job) = event, job.state == .running { break }
      }
    }

    var state: FilePath { bench.pool.appending(".supervisor") }

    mutating func kill() async throws {
      agent.send(SIGKILL)
      try await agent.exit()
    }

    mutating func restart() throws { agent = try AgentProcess(bench, log: log) }

    var story: String {
      get throws { String(decoding: try Files.read(log) ?? [], as: UTF8.self) }
    }

    /// Processes that belong to the pool.
    var processes: [Leftover] { Leftovers.find(mark: "WORKER_AGENT_POOL=\(bench.pool)") }

    func supervisor() async throws -> Int32 {
      guard case .running(let tree) = try await Supervisor.find(in: state) else { throw CancellationError() }
      return tree.identity.pid
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
    while !String(decoding: try Files.read(log) ?? [], as: UTF8.self).contains(waiting) { await Task.yield() }
    try await scene.kill()
    scene.agent = second
    for await event in scene.bench.web.events { if case .connected = event { break } }
    await scene.bench.web.send(.cancel, for: scene.job)
    #expect(try await scene.bench.end(of: scene.job).result == "user_cancelled")
    try await scene.finish()
  }

  @Test("time limits count from the first start")
  func limits() async throws {
    var scene = try await Scene(InterruptedJobTests.forever, ["MAX_JOB_TIME": "600"])
    try await scene.kill()
    let file = scene.state.appending("job.json")
    var record = try JSON(parsing: try #require(try Files.read(file)))
    record["started_at"] = .number("\(Boot.time - 3600)")
    try Files.replace(file, with: record.bytes)
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
    for await event in scene.bench.web.events { if case .connected = event { break } }
    await scene.bench.web.send(command, for: scene.job)
    let end = try await scene.bench.end(of: scene.job)
    #expect(end.result == (command == .cancel ? "user_cancelled" : "incomplete") && end.files.contains("vars.json"))
    try await scene.finish()
  }
}
