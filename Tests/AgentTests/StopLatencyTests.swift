import Agent
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

/// Stopping the backend waits for no web UI.
@Suite("From the command to the backend", .timeLimit(.minutes(2)))
struct StopLatencyTests {
  /// Many images, and then a wait for whoever stops it.
  private static let images = """
    {"modules":[{"name":"a","steps":[{"repeat":150,"steps":[{"screenshot":{"width":64,"height":48,"noise":20000}}]}]},
    {"name":"b","steps":[{"write":"READY","append":true,"content":"."},{"hang":true}]}]}
    """

  /// Jobs whose stops are measured, one after the other.
  private static let count = 3

  enum WebUIState: String, Sendable, CaseIterable {
    /// Takes images, if not at once.
    case busy
    /// Takes calls and answers none.
    case silent
  }

  @Test("a cancelled job's backend hears of it at once, while images are uploaded", arguments: WebUIState.allCases)
  func latency(_ web: WebUIState) async throws {
    var times: [Duration] = []
    for _ in 0..<Self.count { times.append(try await Self.time(web)) }
    times.sort()
    let shown = times.map { "\(Double(Int($0 / .microseconds(1))) / 1000) ms" }.joined(separator: ", ")
    note("From 'cancel' to the backend's broadcast, \(web.rawValue) web UI, images on their way: \(shown)")
    #expect(times[Self.count / 2] <= .milliseconds(200), "\(shown)")
  }

  /// The time from the command to the broadcast, in a job of its own.
  private static func time(_ state: WebUIState) async throws -> Duration {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(through: { try BadWebUITests.front($0, proxy) })
    let front = try await proxy.wait()
    let images = front.on("POST", "/artefact", state == .busy ? .delay(.milliseconds(100)) : .hold)
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
      try await ready.opened.wait()
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
    return try await measured.wait()
  }
}
