import Agent
import LocalWebUI
import OpenQAProtocol
import Support
import TestSupport
import Testing

/// Two web UIs, each with credentials of its own: what is wrong with one is nothing to the other.
@Suite("Several web UIs", .timeLimit(.minutes(2)))
struct SeveralWebUIsTests {
  private static let quick = #"{"modules":[{"name":"a","steps":[{"screenshot":{}}]}]}"#

  /// A job of the other web UI, as a web UI gives it that does not know that the slot is busy.
  private static func grab(_ id: Int64) -> JSON {
    ["type": "grab_job", "job": ["id": .integer(id), "settings": ["JOBTOKEN": "x", "NAME": "x"]]]
  }

  @Test("each gets its jobs done, signed with its own key")
  func both() async throws {
    let bench = try await Workbench(beside: { $0.url })
    let other = try #require(bench.other)
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(Self.quick))
      let second = try await other.end(of: try await bench.schedule(Self.quick, on: other))
      #expect(job.result == "passed" && second?.result == "passed")
      #expect(second?.files.contains("autoinst-log.txt") == true)
    }
  }

  struct Trouble: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var fault: FaultProxy.Fault?
    var door = FaultProxy.Door.open
    /// What the log says of it.
    var words: String?
  }

  static let troubles = [
    Trouble(testDescription: "down", door: .closed, words: "Connection error"),
    Trouble(testDescription: "resets", door: .resetting, words: "Connection error"),
    Trouble(
      testDescription: "403", fault: BadWebUITests.answer(#"{"error":"no api key"}"#, status: "403 Forbidden"),
      words: "not trying again: 403 response: no api key"),
    Trouble(
      testDescription: "426", fault: BadWebUITests.answer(#"{"error":"too old"}"#, status: "426 Upgrade Required"),
      words: "not trying again: 426 response: too old"),
    Trouble(
      testDescription: "429", fault: BadWebUITests.answer("", status: "429 Too Many Requests\r\nRetry-After: 600"),
      words: "trying again in 600.0 seconds"),
    Trouble(testDescription: "HTML", fault: BadWebUITests.answer("<html>", type: "text/html"), words: "not JSON"),
    Trouble(testDescription: "silent", fault: .hold),
    Trouble(testDescription: "slow", fault: .delay(.seconds(2))),
  ]

  @Test("one that is of no use from the start", arguments: troubles)
  func trouble(_ trouble: Trouble) async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(beside: { try BadWebUITests.front($0, proxy) })
    let front = try await proxy.wait()
    if let fault = trouble.fault { front.on(nil, "", fault) }
    try front.setDoor(trouble.door)
    let wasAsked = try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(Self.quick))
      #expect(job.result == "passed" && job.reason == nil)
      if let words = trouble.words {
        // A line of this web UI: its address is in it.
        let line = try await bench.log.line(with: "Failed to register at http://127.0.0.1:\(front.port)")
        #expect(line.contains(words), "\(line)")
      }
    }
    #expect(wasAsked)
    front.stop()
  }

  static let midJob: [(name: String, happen: @Sendable (FaultProxy) throws -> Void)] = [
    ("falls silent", { $0.freeze() }), ("resets its connections", { $0.breakConnections(resetting: true) }),
    (
      "goes away",
      {
        try $0.setDoor(.closed)
        $0.breakConnections()
      }
    ),
    (
      "refuses the worker",
      {
        $0.on("POST", "/api/v1/workers", BadWebUITests.answer(#"{"error":"no"}"#, status: "403 Forbidden"))
        $0.breakConnections()
      }
    ),
    (
      "wants another version",
      {
        $0.on("POST", "/api/v1/workers", BadWebUITests.answer("{}", status: "426 Upgrade Required"))
        $0.breakConnections()
      }
    ),
  ]

  @Test("one that breaks while the slot works for the other", arguments: midJob.map(\.name))
  func breaks(name: String) async throws {
    let happen = try #require(Self.midJob.first { $0.name == name }?.happen)
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(beside: { try BadWebUITests.front($0, proxy) })
    let other = try #require(bench.other)
    let front = try await proxy.wait()
    try await bench.run { _ in
      try await other.connected()
      let id = try await bench.schedule(JobTests.waiting)
      try await bench.log.line(with: "command server is up")
      try happen(front)
      // Nothing but the job's own web UI has a say in it.
      await bench.web.send(.cancel, for: id)
      let job = try await bench.end(of: id)
      #expect(job.result == "user_cancelled" && job.files.contains("autoinst-log.txt"))
      let next = try await bench.end(of: try await bench.schedule(Self.quick))
      #expect(next.result == "passed")
      front.freeze(false)
    }
    front.stop()
  }

  @Test("a grab while the slot works for the other is rejected by name; only who gave a job can stop it")
  func busy() async throws {
    let bench = try await Workbench(beside: { $0.url })
    let other = try #require(bench.other)
    try await bench.run { _ in
      try await other.connected()
      let id = try await bench.schedule(JobTests.waiting)
      try await bench.log.line(with: "command server is up")
      await other.send(Self.grab(77), to: 1)
      let reason = "already busy with a job from \(bench.web.url)"
      for await event in other.events {
        guard case .message(let message, _) = event, message["type"] == "rejected" else { continue }
        #expect(message["job_ids"] == [77] && message["reason"] == .string(reason))
        break
      }
      for command in JobCommand.allCases {
        await other.send(["type": .string(command.rawValue), "jobid": .integer(id)], to: 1)
        try await bench.log.line(with: "Ignoring \(command.rawValue) for job \(id) from \(other.url)")
      }
      #expect(await bench.web.job(id)?.state == .running)
      await bench.web.send(.cancel, for: id)
      #expect(try await bench.end(of: id).result == "user_cancelled")
    }
  }
}
