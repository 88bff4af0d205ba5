import Agent
import Glibc
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Jobs in a sequence", .timeLimit(.minutes(2)))
struct SequenceTests {
  static let passing = #"{"modules":[{"name":"a"}]}"#
  static let failing = #"{"modules":[{"name":"a","result":"fail"}]}"#
  static let dying = #"{"modules":[{"name":"a","steps":[{"exit":1}]}]}"#
  static let waiting = #"{"term":"exit","modules":[{"name":"a","steps":[{"log":"now"},{"hang":true}]}]}"#

  struct Example: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var jobs: [(scenario: String, parent: Int?)]
    var results: [String]
  }

  static let examples: [Example] = [
    Example(
      testDescription: "one after the other", jobs: [(passing, nil), (passing, 0), (passing, 1)],
      results: ["passed", "passed", "passed"]),
    Example(
      testDescription: "the first fails", jobs: [(failing, nil), (passing, 0), (passing, 1)],
      results: ["failed", "skipped", "skipped"]),
    Example(
      testDescription: "the first dies", jobs: [(dying, nil), (passing, 0)], results: ["incomplete", "skipped"]),
    Example(
      testDescription: "a leaf fails, its sibling runs; a branch fails, its own leaves do not",
      jobs: [(passing, nil), (failing, 0), (passing, 0), (failing, 0), (passing, 3), (passing, 0)],
      results: ["passed", "failed", "passed", "failed", "skipped", "passed"]),
  ]

  @Test("ends", arguments: examples)
  func ends(_ example: Example) async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let ids = try await bench.schedule(sequence: example.jobs)
      for (id, result) in zip(ids, example.results) {
        let job = try await bench.end(of: id)
        #expect(job.result == result, "job \(id): \(job.reason ?? "")")
        #expect(job.files.contains("autoinst-log.txt") == (result != "skipped"))
      }
      // The slot takes the next job.
      #expect(try await bench.end(of: try await bench.schedule(Self.passing)).result == "passed")
    }
    #expect(try Files.names(in: bench.pool) == [".locked", ".supervisor"])
    #expect(try !Files.names(in: bench.pool.appending(".supervisor")).contains("job.json"))
  }

  /// What the worker has said over the WebSocket, once the host has ended.
  private func messages(_ bench: Workbench) async -> [JSON] {
    var messages: [JSON] = []
    for await event in bench.web.events { if case .message(let message, _) = event { messages.append(message) } }
    return messages
  }

  @Test("what a web UI hears: each job is accepted in its turn, and each status names those that wait")
  func messages() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let ids = try await bench.schedule(sequence: [(Self.passing, nil), (Self.failing, 0), (Self.passing, 1)])
      for id in ids { _ = try await bench.end(of: id) }
    }
    let messages = await messages(bench)
    #expect(messages.filter { $0["type"] == "accepted" }.map { $0["jobid"] } == [1, 2])
    let working = messages.filter { $0["status"] == "working" }
    #expect(working.first { $0["job"]?["id"] == 1 }?["pending_job_ids"] == ["2": 1, "3": 1])
    #expect(working.first { $0["job"]?["id"] == 2 }?["pending_job_ids"] == ["3": 1])
    // A free worker with jobs would lose them.
    let last = messages.lastIndex { $0["status"] == "working" } ?? 0
    let first = messages.firstIndex { $0["type"] == "accepted" } ?? 0
    #expect(!messages[first...last].contains { $0["status"] == "free" })
  }

  @Test("a job that waits is cancelled: it and those after it are skipped, the others run")
  func cancelledWhileWaiting() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let ids = try await bench.schedule(
        sequence: [(Self.waiting, nil), (Self.passing, 0), (Self.passing, 1), (Self.passing, 0)])
      try await bench.log.line(with: "command server is up")
      await bench.web.send(.cancel, for: ids[1])
      await bench.web.send(.obsolete, for: ids[0])
      var results: [String] = []
      for id in ids { results.append(try await bench.end(of: id).result ?? "") }
      #expect(results == ["obsoleted", "skipped", "skipped", "skipped"])
      try await bench.log.line(with: "Skipping job 2 from \(bench.web.url): the web UI sent cancel")
    }
  }

  @Test("the slot is stopped", arguments: [0, 1])
  func stopped(inJob index: Int) async throws {
    let bench = try await Workbench()
    let wasAsked = try await bench.run { commands in
      let first = index == 0 ? Self.waiting : Self.passing
      let ids = try await bench.schedule(sequence: [(first, nil), (Self.waiting, 0), (Self.passing, 1)])
      if index == 1 { _ = try await bench.end(of: ids[0]) }
      try await bench.log.line(with: "Accepting job \(ids[index])")
      try await bench.job(ids[index]) { $0.state == .running }
      commands.yield(.stop)
      let job = try await bench.end(of: ids[index])
      #expect(job.result == "incomplete" && job.reason == "quit: worker has been stopped or restarted")
      for id in ids.dropFirst(index + 1) {
        let job = try await bench.end(of: id)
        #expect(job.result == "skipped" && job.reason == "quit: worker has been stopped or restarted")
      }
    }
    #expect(wasAsked)
  }

  @Test("the slot is to finish: all jobs in hand are run, and no more")
  func finished() async throws {
    let bench = try await Workbench()
    let wasAsked = try await bench.run(stopsHost: false) { commands in
      let ids = try await bench.schedule(sequence: [(Self.passing, nil), (Self.passing, 0), (Self.passing, 1)])
      try await bench.log.line(with: "Accepting job 1")
      commands.yield(.finish)
      for id in ids { #expect(try await bench.end(of: id).result == "passed") }
    }
    #expect(wasAsked)
  }

  @Test("the slot ends by itself after its jobs")
  func terminates() async throws {
    let bench = try await Workbench(workers: "TERMINATE_AFTER_JOBS_DONE = 1")
    let wasAsked = try await bench.run(stopsHost: false) { _ in
      let ids = try await bench.schedule(sequence: [(Self.passing, nil), (Self.passing, 0)])
      for id in ids { #expect(try await bench.end(of: id).result == "passed") }
    }
    #expect(wasAsked)
  }

  /// After what the program is killed.
  enum Moment: CaseIterable, Sendable {
    case accepted, running, done

    func hasCome(_ event: LocalServer.Event, of job: Int64) -> Bool {
      switch (self, event) {
      case (.accepted, .message(let message, _)): message["type"] == "accepted" && message["jobid"] == .integer(job)
      case (.running, .changed(let known)): known.id == job && known.state == .running
      case (.done, .changed(let known)): known.id == job && known.state == .done
      default: false
      }
    }
  }

  @Test("the program is killed: the job goes on, and those that wait after it", arguments: Moment.allCases, [0, 1])
  func killed(at moment: Moment, ofJob index: Int) async throws {
    let bench = try await Workbench()
    let log = bench.folder.path.appending("agent.log")
    var agent = try AgentProcess(bench, log: log)
    defer { agent.send(SIGKILL) }
    let ids = try await bench.schedule(
      sequence: [(Self.passing, nil), (Self.passing, 0), (Self.failing, 1), (Self.passing, 2)])
    for await event in bench.web.events { if moment.hasCome(event, of: ids[index]) { break } }
    agent.send(SIGKILL)
    try await agent.exit()
    agent = try AgentProcess(bench, log: log)
    var results: [String] = []
    for id in ids {
      let job = try await bench.end(of: id)
      results.append(job.result ?? "")
      #expect(job.reason == nil)
    }
    let story = String(decoding: try Files.read(log) ?? [], as: UTF8.self)
    #expect(results == ["passed", "passed", "failed", "skipped"], "\(story)")
    agent.send(SIGTERM)
    #expect(try await agent.exit() == 0)
    #expect(try !Files.names(in: bench.pool.appending(".supervisor")).contains("job.json"))
    await bench.web.stop()
  }
}
