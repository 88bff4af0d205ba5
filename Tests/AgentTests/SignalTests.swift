import Agent
import Glibc
import LocalWebUI
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Signals", .timeLimit(.minutes(2)))
struct SignalTests {
  /// A slot in a process of its own.
  private struct Scene {
    let bench: Workbench
    let agent: AgentProcess
    let log: FilePath

    init() async throws {
      bench = try await Workbench()
      log = bench.folder.path.appending("agent.log")
      agent = try AgentProcess(bench, log: log)
    }

    /// The next time that the web UI hears a status.
    func status() async -> String? {
      for await event in bench.web.events {
        if case .message(let message, _) = event, message["type"] == "worker_status" {
          return message["status"]?.string
        }
      }
      return nil
    }

    func message(_ type: String) async -> Bool {
      for await event in bench.web.events {
        if case .message(let message, _) = event, message["type"]?.string == type { return true }
      }
      return false
    }

    var story: String { get throws { String(decoding: try Files.read(log) ?? [], as: UTF8.self) } }

    func configure(_ change: (String) -> String) throws {
      let file = bench.folder.path.appending("etc/workers.ini")
      let text = String(decoding: try Files.read(file) ?? [], as: UTF8.self)
      try Files.replace(file, with: change(text).utf8)
    }
  }

  @Test("SIGHUP to an idle slot: the same process, with the settings as they are now")
  func reload() async throws {
    let scene = try await Scene()
    #expect(await scene.status() == "free")
    try scene.configure { $0.replacing("WORKER_CLASS = test", with: "WORKER_CLASS = test,other") }
    scene.agent.send(SIGHUP)
    #expect(await scene.message("quit"))
    #expect(await scene.status() == "free")
    let job = try await scene.bench.schedule(SequenceTests.passing, ["WORKER_CLASS": "other"])
    #expect(try await scene.bench.end(of: job).result == "passed")
    scene.agent.send(SIGTERM)
    #expect(try await scene.agent.exit() == 0, "the process that was started first")
    await scene.bench.web.stop()
  }

  @Test("SIGHUP with settings that are of no use: it goes on with those it has, and says so")
  func uselessReload() async throws {
    let scene = try await Scene()
    #expect(await scene.status() == "free")
    try scene.configure { $0.replacing(#/HOST = .*/#, with: "HOST = :") }
    scene.agent.send(SIGHUP)
    let job = try await scene.bench.schedule(SequenceTests.passing)
    #expect(try await scene.bench.end(of: job).result == "passed")
    scene.agent.send(SIGTERM)
    #expect(try await scene.agent.exit() == 0)
    #expect(try scene.story.contains("Going on with the settings as they were"))
    await scene.bench.web.stop()
  }

  @Test("SIGHUP to a busy slot: it ends after its jobs", arguments: [false, true])
  func finish(isStopped: Bool) async throws {
    let scene = try await Scene()
    let slow = #"{"term":"exit","modules":[{"name":"a","steps":[{"wait":500}]}]}"#
    let ids = try await scene.bench.schedule(
      sequence: [(isStopped ? SequenceTests.waiting : slow, nil), (SequenceTests.passing, 0)])
    try await scene.bench.job(ids[0]) { $0.state == .running }
    scene.agent.send(SIGHUP)
    if isStopped { scene.agent.send(SIGTERM) }
    let results = [try await scene.bench.end(of: ids[0]).result, try await scene.bench.end(of: ids[1]).result]
    let story = try scene.story
    #expect(results == (isStopped ? ["incomplete", "skipped"] : ["passed", "passed"]), "\(story)")
    #expect(try await scene.agent.exit() == 0)
    await scene.bench.web.stop()
  }

  @Test("a second SIGTERM does not wait for the job")
  func impatience() async throws {
    let scene = try await Scene()
    // It takes its time to end.
    let job = try await scene.bench.schedule(#"{"termDelay":5000,"modules":[{"name":"a","steps":[{"hang":true}]}]}"#)
    try await scene.bench.job(job) { $0.modules.first?.result == "running" }
    scene.agent.send(SIGTERM)
    try await scene.bench.job(job) { $0.state == .uploading }
    let start = ContinuousClock.now
    scene.agent.send(SIGINT)
    #expect(try await scene.agent.exit() == 0)
    #expect(start.duration(to: .now) < .seconds(4), "less than the backend takes")
    #expect(await scene.bench.web.job(job)?.state != .done)
    // Who comes next ends what is left, and says how the job ended.
    let next = try AgentProcess(scene.bench, log: scene.log)
    let reason = try await scene.bench.end(of: job).reason
    let story = try scene.story
    #expect(reason == "quit: worker has been stopped or restarted", "\(reason ?? "")\n\(story)")
    next.send(SIGTERM)
    #expect(try await next.exit() == 0)
    await scene.bench.web.stop()
  }
}
