import Configuration
import HTTPServer
import OpenQAProtocol
import Support
import TestSupport
import Testing
import WebUIClient
import WebUISession

/// How a session gets to its web UI again, and what it says of what is in the way.
extension WebUISessionTests {
  // MARK: A connection that says nothing

  @Test("a web UI that answers no status is given up after three, and asked anew")
  func silentConnection() async throws {
    try await run(.init(answer: { _ in nil })) { _, standIn, lines in
      try await standIn.upgrades.reach(2)
      let line = try await lines.line(with: "given up: nothing was received for")
      #expect(line.hasPrefix("Websocket connection to http://127.0.0.1:"))
      // Those of the first connection, before the second one's.
      #expect(standIn.said.withLock { $0.prefix(3).allSatisfy { $0["type"] == "worker_status" } })
    }
  }

  @Test(
    "answers of web UIs of both versions keep the connection",
    arguments: [["type": "info", "seen": 1], ["type": "info", "population": 4], ["result": 1]] as [JSON])
  func answers(answer: JSON) async throws {
    try await run(.init(answer: { _ in answer })) { _, standIn, lines in
      try await standIn.statuses.reach(12)
      #expect(standIn.upgrades.count == 1, "\(lines.text)")
    }
  }

  @Test("an answer to a status is passed on: something has happened")
  func answerIsPassedOn() async throws {
    let events = Events()
    try await run(.init(answer: { _ in ["type": "info"] }), listener: events.listen) { _, _, _ in
      #expect(await events.contains(.message(.info)))
    }
  }

  @Test("the period of the statuses counts from the answer")
  func period() async throws {
    let answered = Guarded<ContinuousClock.Instant?>(nil)
    let pauses = Guarded<[Duration]>([])
    let answer: @Sendable (JSON) async -> JSON? = { _ in
      if let before = answered.withLock({ $0 }) { pauses.withLock { $0.append(before.duration(to: .now)) } }
      // The time that a busy web UI takes.
      try? await Task.sleep(for: .milliseconds(150))
      answered.withLock { $0 = .now }
      return ["type": "info"]
    }
    try await run(.init(answer: answer), period: .milliseconds(200)) { _, standIn, _ in
      try await standIn.statuses.reach(4)
      let shortest = try #require(pauses.withLock { $0.min() })
      #expect(shortest > .milliseconds(190), "it would be 50 ms if it counted from the status")
    }
  }

  // MARK: Waiting as long as the web UI wants

  @Test(
    "Retry-After in an answer to the registration",
    arguments: [
      ("1", "1.0 seconds"), ("0", "0.01 seconds"), ("soon", "0.01 seconds"), ("-3", "0.01 seconds"),
      ("", "0.01 seconds"), ("Sun, 09 Sep 2001 01:46:41 GMT", "1.0 seconds"),
      ("Sun, 09 Sep 2001 01:00:00 GMT", "0.01 seconds"), ("Sun, 99 Sep 2001 01:00:00 GMT", "0.01 seconds"),
      ("999999999", "3600.0 seconds"), ("99999999999999999999999", "0.01 seconds"),
    ], [429, 503])
  func retryAfter(_ example: (value: String, wait: String), status: Int) async throws {
    let behaviour = StandIn.Behaviour(registration: { count in
      guard count == 1 else { return nil }
      var response = ServerResponse.json(["error": "limit reached"], status: status)
      response.headers["Retry-After"] = example.value
      return response
    })
    try await run(behaviour) { _, standIn, lines in
      let line = try await lines.line(with: "trying again in")
      #expect(line.hasSuffix("\(status) response: limit reached - trying again in \(example.wait)"))
      if !example.wait.hasPrefix("3600") { try await standIn.statuses.reach(1) }
    }
  }

  @Test("Retry-After in an answer to the upgrade", arguments: [("1", "1.0 seconds"), ("soon", "0.01 seconds")])
  func upgradeRetryAfter(value: String, wait: String) async throws {
    let behaviour = StandIn.Behaviour(upgrade: { count, _ in
      guard count == 1 else { return nil }
      var response = ServerResponse.text("", status: 429)
      response.headers["Retry-After"] = value
      return response
    })
    try await run(behaviour) { _, standIn, lines in
      try await standIn.statuses.reach(1)
      #expect(lines.text.contains("429 response - trying again in \(wait)"))
    }
  }

  // MARK: Clocks

  @Test(
    "clocks that differ: the log says by how much, which is ahead, and what to do",
    arguments: [
      ("Sun, 09 Sep 2001 01:40:00 GMT", "400 s ahead of"), ("Sun, 09 Sep 2001 02:46:40 GMT", "3600 s behind"),
    ])
  func clocks(date: String, words: String) async throws {
    let behaviour = StandIn.Behaviour(registration: { count in
      guard count == 1 else { return nil }
      var response = ServerResponse.json(["error": "timestamp mismatch"], status: 403)
      response.headers["Date"] = date
      return response
    })
    try await run(behaviour) { _, standIn, lines in
      try await standIn.statuses.reach(1)
      let line = try await lines.line(with: "Failed to register")
      #expect(
        line.contains("403 response: timestamp mismatch - this host's clock is \(words) the web UI's: synchronise"))
    }
  }

  @Test("clocks that differ are told of before they are in the way")
  func clocksOfUse() async throws {
    let behaviour = StandIn.Behaviour(location: { _ in
      ServerResponse(headers: ["Date": "Sun, 09 Sep 2001 01:48:40 GMT"])
    })
    try await run(behaviour) { _, standIn, lines in
      try await standIn.statuses.reach(1)
      let line = try await lines.line(with: "clock")
      #expect(line.hasPrefix("http://127.0.0.1:") && line.contains("120 s behind the web UI's"))
    }
  }

  // MARK: Where the web UI is

  @Test("a web UI that moves away and back is followed, by the registration and by the WebSocket")
  func moves() async throws {
    let other = StandIn(.init())
    let server = try await WebServer.start(handler: other.respond)
    let behaviour = StandIn.Behaviour(location: { count in
      count == 1 ? .redirect(to: "http://127.0.0.1:\(server.port)/api/v1/workers?limit=0", status: 301) : nil
    })
    try await run(behaviour) { session, standIn, lines in
      try await other.statuses.reach(1)
      #expect(standIn.registrations.count == 0 && other.registrations.count == 1)
      let client = await session.client
      #expect(client.origin == "http://127.0.0.1:\(server.port)")
      #expect(lines.text.contains("redirects to http://127.0.0.1:\(server.port): that is called instead"))
      await server.stop()
      try await standIn.statuses.reach(1)
      #expect(client.origin == client.address.origin)
    }
  }

  @Test(
    "a redirect to nowhere is no reason to give up", arguments: ["ftp://elsewhere/", "http://", "http:// a/", "x:y"])
  func nowhere(location: String) async throws {
    try await run(.init(location: { $0 == 1 ? .redirect(to: location) : nil })) { _, standIn, lines in
      try await standIn.statuses.reach(1)
      if location != "x:y" { #expect(lines.text.contains("which is no URL - trying again")) }
    }
  }

  @Test("a registration that is redirected goes there, signed for it", arguments: [307, 308])
  func redirectedRegistration(status: Int) async throws {
    try await run(.init(registration: { $0 == 1 ? .redirect(to: "/elsewhere?a=b", status: status) : nil })) {
      _, standIn, _ in
      try await standIn.statuses.reach(1)
      #expect(standIn.requests.withLock { $0.contains("POST /elsewhere?a=b") })
    }
  }

  // MARK: More than the slot takes

  @Test("events come one by one; a web UI that says more than is taken is hung up on, and asked anew")
  func flood() async throws {
    let isTaking = Latch<Void>()
    let calls = Guarded((now: 0, most: 0, messages: 0))
    let listener: WebUISession.Listener = { event in
      calls.withLock { calls in
        calls.now += 1
        calls.most = max(calls.most, calls.now)
        if case .message = event { calls.messages += 1 }
      }
      if case .message = event { try? await isTaking.wait() }
      calls.withLock { $0.now -= 1 }
    }
    try await run(.init(answer: { _ in nil }), period: .seconds(3600), listener: listener) { _, standIn, lines in
      try await standIn.statuses.reach(1)
      // The rest may find the connection closed.
      try? await standIn.send(["type": "cancel", "jobid": 5], times: 5000)
      try await standIn.ended.reach(1)
      #expect(calls.withLock { $0.messages == 1 })
      isTaking.open(with: ())
      try await standIn.upgrades.reach(2)
      let line = try await lines.line(with: "finished by remote side with code")
      #expect(line.contains("1008"), "\(line)")
      #expect(calls.withLock { $0.most == 1 && (2..<5000).contains($0.messages) })
    }
  }

  // MARK: Ends

  @Test("a web UI that wants another version of the worker is left alone")
  func incompatible() async throws {
    let told = Events()
    try await run(.init(answer: { _ in ["type": "incompatible"] }), listener: told.listen) { _, standIn, lines in
      let events = await told.untilDisabled()
      #expect(events.count == 2 && events.first == .connected(workerID: 7))
      guard case .disabled(let reason)? = events.last else {
        Issue.record("\(events)")
        return
      }
      #expect(reason.contains("another version of the worker"))
      #expect(lines.text.contains("not trying again: it needs another version"))
      #expect(standIn.registrations.count == 1)
    }
  }

  @Test("a job whose end cannot be told is missing in the next registration, which comes at once")
  func release() async throws {
    try await run { session, standIn, _ in
      try await standIn.statuses.reach(1)
      let job = try JobInfo(["id": 5, "settings": [:]])
      await session.update(status: .working(job, webUI: session.client.address.entry), pending: [6])
      try await standIn.closeSockets(code: 1000, reason: "")
      try await standIn.upgrades.reach(2)
      await session.release(job: 5)
      try await standIn.upgrades.reach(3)
      let posts = standIn.requests.withLock { $0.filter { $0.hasPrefix("POST") } }
      #expect(posts[1].contains("job_id=5&job_id=6"))
      #expect(posts.last?.contains("job_id=6") == true && posts.last?.contains("job_id=5") == false)
    }
  }

  // MARK: TLS

  struct Distrust: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var names = ["DNS:localhost"]
    var isExpired = false
    var isKnown = true
    var words: [String]
  }

  static let distrust = [
    Distrust(
      testDescription: "unknown", isKnown: false, words: ["self-signed certificate", "self signed certificate"]),
    Distrust(testDescription: "expired", isExpired: true, words: ["certificate has expired"]),
    Distrust(
      testDescription: "of another host", names: ["DNS:other.example"],
      words: ["no alternative certificate subject name matches target host name 'localhost'"]),
  ]

  @Test("a certificate that is not trusted: the log says why", arguments: distrust)
  func tls(_ example: Distrust) async throws {
    let certificate = try TestCertificate(example.names, isExpired: example.isExpired)
    let server = try ScriptedServer(identity: certificate.identity) { _ = try $0.readRequest() }
    try await run(
      at: "https://localhost:\(server.port)", caFile: example.isKnown ? certificate.identity.certificate : nil
    ) { _, _, lines in
      let line = try await lines.line(with: "Failed to register at https://localhost:\(server.port)")
      #expect(line.contains("Connection error: localhost:\(server.port): "))
      #expect(example.words.contains { line.contains($0) }, "\(line)")
    }
    server.stop()
  }
}
