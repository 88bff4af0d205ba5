import Agent
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

/// Stopping the backend waits for no web UI, and results do not wait for files.
@Suite("From the command to the backend", .timeLimit(.minutes(2)))
struct StopLatencyTests {
  /// Many images, and then a wait for whoever stops it.
  private static let images = """
    {"modules":[{"name":"a","steps":[{"repeat":150,"steps":[{"screenshot":{"width":64,"height":48,"noise":20000}}]}]},
    {"name":"b","steps":[{"log":"b"}]},{"name":"c","steps":[{"write":"READY","append":true,"content":"."},{"hang":true}]}]}
    """

  enum WebUIState: String, Sendable, CaseIterable {
    /// Takes images, if not at once.
    case busy
    /// Takes calls and answers none.
    case silent
    /// Answers each upload when three seconds have passed.
    case slow
    /// Has too much to do for any upload.
    case unavailable

    /// What becomes of images.
    var fault: FaultProxy.Fault {
      switch self {
      case .busy: .delay(.milliseconds(100))
      case .silent: .hold
      case .slow: .delay(.seconds(3))
      case .unavailable:
        .answer(Array("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".utf8))
      }
    }
  }

  @Test("a cancelled job's backend hears of it at once, while images are uploaded", arguments: WebUIState.allCases)
  func latency(_ web: WebUIState) async throws {
    var times: [Duration] = []
    // One after the other; those that take their time at the end are measured once.
    for _ in 0..<([.busy, .silent].contains(web) ? 3 : 1) { times.append(try await Self.time(web)) }
    times.sort()
    let shown = times.map { "\(Double(Int($0 / .microseconds(1))) / 1000) ms" }.joined(separator: ", ")
    note("From 'cancel' to the backend's broadcast, \(web.rawValue) web UI, images on their way: \(shown)")
    #expect(times[times.count / 2] <= .milliseconds(200), "\(shown)")
  }

  @Test("a command server that does not answer keeps nobody waiting")
  func silentCommandServer() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      for count in 1...3 {
        let id = try await bench.schedule(
          #"{"term":"exit","commandServer":{"answersBroadcast":false},"modules":[{"name":"a","steps":[{"hang":true}]}]}"#
        )
        try await bench.log.lines(with: "command server is up", count: count)
        let start = ContinuousClock.now
        await bench.web.send(.cancel, for: id)
        try await bench.log.lines(with: "Isotovideo exit status", count: count)
        note("From 'cancel' to the exit of a backend whose command server is silent: \(start.duration(to: .now))")
        #expect(start.duration(to: .now) < .seconds(1))
        #expect(try await bench.end(of: id).result == "user_cancelled")
      }
    }
  }

  /// The time from the command to the broadcast, in a job of its own.
  private static func time(_ state: WebUIState) async throws -> Duration {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try BadWebUITests.front($0, proxy) })
    let front = try await proxy.reached()
    let images = front.on("POST", "/artefact", state.fault)
    let measured = Latch<Duration>()
    let folder = try TemporaryFolder()
    let ready = try ReadyPipe(folder.path.appending("ready"))
    try await bench.run { _ in
      let id = try await bench.schedule(Self.images.replacing("READY", with: ready.path.string))
      try await bench.log.line(with: "command server is up")
      let token = try #require(await bench.web.job(id)?.settings["JOBTOKEN"]?.string)
      let listener = try await WebSocketClient(proxies: .none).connect(
        WebSocketRequest("ws://127.0.0.1:\(20002 + 10 * bench.instance + 1)/\(token)/ws"))
      try await images.applied.reach(4)
      try await ready.opened.reached()
      for await case .changed(let job) in bench.web.events where job.id == id {
        if job.modules.contains(where: { $0.name == "b" && $0.result == "passed" }) { break }
      }
      if state == .silent { front.on("POST", "", .hold) }
      let start = ContinuousClock.now
      await bench.web.send(.cancel, for: id)
      for await message in listener.messages where message.contains("stopping_test_execution") { break }
      measured.open(with: start.duration(to: .now))
      await listener.close()
      front.clear()
      if state == .silent { front.breakConnections() }
      let job = try await bench.end(of: id)
      #expect(job.result == "user_cancelled")
      #expect(job.namedImages.count == 150 && job.files.isSuperset(of: job.namedImages.values))
    }
    ready.dismiss()
    front.stop()
    return try await measured.reached()
  }
}
