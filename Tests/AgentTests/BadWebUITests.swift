import Agent
import LocalWebUI
import OpenQAProtocol
import Support
import TestSupport
import Testing

/// A web UI that answers nonsense, or not at all: a line in the log that names it and the problem, and a new try.
@Suite("A web UI that misbehaves", .timeLimit(.minutes(1)))
struct BadWebUITests {
  struct Nonsense: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var fault: FaultProxy.Fault
    /// What the log says of it.
    var words: String
  }

  static func answer(_ body: String, status: String = "200 OK", type: String = "application/json") -> FaultProxy.Fault {
    .answer(
      Array("HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8))
  }

  static let registrationAnswers: [Nonsense] = [
    Nonsense(testDescription: "HTML", fault: answer("<html>hello</html>", type: "text/html"), words: "not JSON"),
    Nonsense(testDescription: "half a JSON", fault: answer(#"{"id":"#), words: "not JSON"),
    Nonsense(testDescription: "no id", fault: answer(#"{"di":1}"#), words: "has no id"),
    Nonsense(testDescription: "an id that is none", fault: answer(#"{"id":[1]}"#), words: "has no id"),
    Nonsense(testDescription: "an array", fault: answer("[1]"), words: "has no id"),
    Nonsense(
      testDescription: "10 MiB", fault: answer(String(repeating: "x", count: 10 << 20)), words: "not JSON"),
    Nonsense(testDescription: "nothing, closed", fault: .cut(afterBytes: 0), words: "Connection error"),
    Nonsense(testDescription: "reset", fault: .reset(afterBytes: 10), words: "Connection error"),
    Nonsense(testDescription: "refused", fault: .refuse, words: "Connection error"),
    Nonsense(
      testDescription: "503", fault: answer("busy", status: "503 Service Unavailable", type: "text/plain"),
      words: "503 response: Service Unavailable"),
    Nonsense(
      testDescription: "clocks differ",
      fault: answer(#"{"error":"timestamp mismatch"}"#, status: "403 Forbidden"),
      words: "403 response: timestamp mismatch"),
  ]

  @Test("at registration", arguments: registrationAnswers)
  func registration(_ nonsense: Nonsense) async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try Self.front($0, proxy) })
    let rule = try await proxy.wait().on("POST", "/api/v1/workers", occurrences: 1...2, nonsense.fault)
    try await bench.run { _ in
      try await rule.applied.reach(2)
      let line = try await bench.log.line(with: "Failed to register at http://127.0.0.1:\(try await proxy.wait().port)")
      #expect(line.contains(nonsense.words), "\(line)")
      let job = try await bench.end(of: try await bench.schedule(#"{"modules":[{"name":"a"}]}"#))
      #expect(job.result == "passed")
    }
  }

  static let upgradeAnswers: [Nonsense] = [
    Nonsense(testDescription: "HTML", fault: answer("<html>hello</html>", type: "text/html"), words: "200 response"),
    Nonsense(testDescription: "404", fault: answer("{}", status: "404 Not Found"), words: "404 response"),
    Nonsense(
      testDescription: "503", fault: answer("", status: "503 Service Unavailable\r\nRetry-After: 0"),
      words: "503 response"),
    Nonsense(testDescription: "closed", fault: .cut(afterBytes: 0), words: "failed: "),
    Nonsense(testDescription: "half an answer", fault: .reset(afterBytes: 20), words: "failed: "),
    Nonsense(
      testDescription: "a wrong key",
      fault: answer(
        "", status: "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA"
      ),
      words: "failed: "),
    Nonsense(testDescription: "refused", fault: .refuse, words: "failed: "),
  ]

  @Test("at the WebSocket's upgrade", arguments: upgradeAnswers)
  func upgrade(_ nonsense: Nonsense) async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try Self.front($0, proxy) })
    let rule = try await proxy.wait().on("GET", "/api/v1/ws/", occurrences: 1...2, nonsense.fault)
    try await bench.run { _ in
      try await rule.applied.reach(2)
      let line = try await bench.log.line(with: nonsense.words)
      #expect(line.contains("http://127.0.0.1:\(try await proxy.wait().port)/api/v1/ws/1"), "\(line)")
      let job = try await bench.end(of: try await bench.schedule(#"{"modules":[{"name":"a"}]}"#))
      #expect(job.result == "passed")
    }
  }

  static let badMessages: [(text: JSON, words: String)] = [
    ("text", "the message is no object"),
    ([1, 2], "the message is no object"),
    ([:], "the message has no type"),
    (["type": 5], "the message has no type"),
    (["type": "unheard of"], "unknown type 'unheard of'"),
    (["type": "cancel"], "'cancel' names no job"),
    (["type": "cancel", "jobid": 77], "Ignoring cancel for job 77"),
    (["type": "grab_job"], "grab_job: the job is no object"),
    (["type": "grab_job", "job": ["settings": [:]]], "grab_job: the job has no id"),
    (["type": "grab_job", "job": ["id": 5]], "grab_job: the job has no settings"),
    (["type": "grab_job", "job": ["id": 5, "settings": []]], "grab_job: the job has no settings"),
    (["type": "grab_jobs"], "grab_jobs: job_info has no data"),
    (
      ["type": "grab_jobs", "job_info": ["data": ["5": ["id": 6, "settings": [:]]], "sequence": [5]]], "has the id 6"
    ),
    (
      ["type": "grab_jobs", "job_info": ["data": ["5": ["id": 5, "settings": [:]]], "sequence": [[5, 9]]]],
      "names job 9, which is missing"
    ),
  ]

  @Test("over the WebSocket: warned about, rejected where it names a job, and gone on with")
  func messages() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      try await bench.connected()
      for (message, words) in Self.badMessages {
        await bench.web.send(message, to: 1)
        try await bench.log.line(with: words)
      }
      await bench.web.send(.string(String(repeating: "x", count: 9 << 20)), to: 1)
      let job = try await bench.end(of: try await bench.schedule(#"{"modules":[{"name":"a"}]}"#))
      #expect(job.result == "passed")
    }
    var rejections: [JSON] = []
    for await event in bench.web.events {
      if case .message(let message, _) = event, message["type"]?.string == "rejected" { rejections.append(message) }
    }
    #expect(rejections.compactMap { $0["reason"]?.string }.count == 4)
    #expect(rejections.allSatisfy { $0["job_ids"] == [5] })
  }

  @Test("a message that is larger than the limit ends the connection, and a new one is made")
  func tooLarge() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      try await bench.connected()
      await bench.web.send(.string(String(repeating: "x", count: 11 << 20)), to: 1)
      let line = try await bench.log.line(with: "Websocket connection to")
      #expect(line.contains("1009") && line.contains("larger than 10485760 bytes"), "\(line)")
      let job = try await bench.end(of: try await bench.schedule(#"{"modules":[{"name":"a"}]}"#))
      #expect(job.result == "passed")
    }
  }

  @Test("a connection lost in mid-job is made anew, and the job goes on")
  func lost() async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try Self.front($0, proxy) })
    try await bench.run { _ in
      let id = try await bench.schedule(JobTests.waiting)
      try await bench.log.line(with: "command server is up")
      try await proxy.wait().breakConnections(resetting: true)
      try await bench.log.line(with: "Websocket connection to")
      var connections = 0
      for await event in bench.web.events {
        if case .connected = event { connections += 1 }
        if connections == 2 { break }
      }
      // The registration named the job, so it is not given up.
      #expect(await bench.web.job(id)?.state == .running)
      await bench.web.send(.cancel, for: id)
      #expect(try await bench.end(of: id).result == "user_cancelled")
    }
  }

  @Test("a web UI that is restarted in mid-job: the job goes on")
  func restart() async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try Self.front($0, proxy) })
    let front = try await proxy.wait()
    try await bench.run { _ in
      let id = try await bench.schedule(JobTests.waiting)
      try await bench.log.line(with: "command server is up")
      try front.setDoor(.closed)
      front.breakConnections()
      let line = try await bench.log.line(with: "Failed to register")
      #expect(
        line.contains("Connection error: 127.0.0.1:\(front.port)") && line.contains("trying again in 0.02 seconds"))
      try front.setDoor(.open)
      var connections = 0
      for await event in bench.web.events {
        if case .connected = event { connections += 1 }
        if connections == 2 { break }
      }
      #expect(await bench.web.job(id)?.state == .running)
      await bench.web.send(.cancel, for: id)
      #expect(try await bench.end(of: id).result == "user_cancelled")
    }
  }

  @Test("an end that cannot be told: the next registration tells it, and the slot is free")
  func untold() async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try Self.front($0, proxy) }, workers: "RETRIES = 2")
    try await proxy.wait().on(
      "POST", "/jobs/1/set_done", Self.answer("{}", status: "500 Internal Server Error"))
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(#"{"modules":[{"name":"a"}]}"#))
      #expect(job.result == "incomplete" && job.reason?.hasPrefix("abandoned") == true)
      try await bench.log.line(with: "The end of job 1 could not be told")
      let next = try await bench.end(of: try await bench.schedule(#"{"modules":[{"name":"a"}]}"#))
      #expect(next.result == "passed")
    }
  }

  @Test("a web UI that has lost the worker gives it another number: the job is given up, and the next runs under that")
  func forgotten() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let id = try await bench.schedule(
        #"{"term":"exit","modules":[{"name":"a","steps":[{"log":"up"}]},{"name":"b","steps":[{"hang":true}]}]}"#)
      try await bench.log.line(with: "command server is up")
      let worker = try #require(await bench.web.job(id)?.worker)
      await bench.web.forget(worker)
      try await bench.log.line(with: "Stopping job \(id) from \(bench.web.url): api-failure")
      let next = try await bench.end(of: try await bench.schedule(#"{"modules":[{"name":"a"}]}"#))
      #expect(next.result == "passed" && next.worker == worker + 1)
    }
  }

  @Test("a worker that ends tells the end of its job again if the web UI did not take it")
  func toldAgain() async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try Self.front($0, proxy) })
    try await proxy.wait().on(
      "POST", "/jobs/1/set_done", occurrences: 1...1, Self.answer("{}", status: "500 Internal Server Error"))
    let wasAsked = try await bench.run { commands in
      let id = try await bench.schedule(JobTests.waiting)
      try await bench.log.line(with: "command server is up")
      commands.yield(.stop)
      let job = try await bench.end(of: id)
      #expect(job.result == "incomplete" && job.reason == "quit: worker has been stopped or restarted")
    }
    #expect(wasAsked)
  }

  @Test("a web UI that refuses the worker for good: the host ends, and not because it was asked to")
  func refused() async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try Self.front($0, proxy) })
    try await proxy.wait().on(
      "POST", "/api/v1/workers", Self.answer(#"{"error":"no api key"}"#, status: "403 Forbidden"))
    let wasAsked = try await bench.run(stopsHost: false) { _ in
      let line = try await bench.log.line(with: "not trying again")
      #expect(line.contains("403 response: no api key") && line.contains("client.conf"))
    }
    #expect(!wasAsked)
  }

  static func front(_ web: LocalServer, _ latch: Latch<FaultProxy>) throws -> String {
    let proxy = try FaultProxy(to: Int(web.url.split(separator: ":").last ?? "") ?? 0)
    latch.open(with: proxy)
    return "http://127.0.0.1:\(proxy.port)"
  }
}
