import Agent
import Configuration
import Foundation
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

/// A host with one slot, a web UI and a share, all real but for the backend: what a job needs from end to end.
final class Workbench: Sendable {
  let folder: TemporaryFolder
  let web: LocalServer
  /// The second web UI, with a key of its own.
  let other: LocalServer?
  let log: LogRecorder
  private let ports: InstancePorts
  /// What the host reads its share on.
  let shareLane: IOLane
  /// What a backend gets, and programs that the host asks.
  let environment: [String: String]
  /// What tells a process of its own the same settings.
  let processEnvironment: [String: String]
  private let settings: Settings
  private let recheck: RecheckIntervals

  /// - Parameters:
  ///   - through: another address of the web UI, a proxy's.
  ///   - beside: makes a second web UI; its address, or a proxy's.
  ///   - workers: lines of the section [global].
  ///   - programs: scripts for bash, to be found before what is installed.
  ///   - path: the folder of all programs; nil for where they are installed.
  ///   - libexec: the folder of job-supervisor; nil for that of the tests.
  ///   - recheck: how often the slot looks at what keeps it from taking jobs, in both cases.
  init(
    through proxy: (@Sendable (LocalServer) throws -> String)? = nil,
    beside secondAddress: (@Sendable (LocalServer) throws -> String)? = nil, workers: String = "",
    programs: [String: String] = [:], path: FilePath? = nil, libexec: FilePath? = nil, recheck: Duration? = nil,
    change: @Sendable (inout Settings) -> Void = { _ in }
  ) async throws {
    var intervals = RecheckIntervals()
    if let recheck { (intervals.regular, intervals.ephemeral) = (recheck, recheck) }
    self.recheck = intervals
    let folder = try TemporaryFolder()
    self.folder = folder
    // A backend that is built with a sanitizer wants its options.
    var environment = ProcessInfo.processInfo.environment.filter { $0.key.hasSuffix("SAN_OPTIONS") }
    environment["WORKER_AGENT_LIBEXEC"] = libexec?.string
    environment["PATH"] = try path?.string ?? Workbench.path(with: programs, in: folder.path.appending("bin"))
    self.environment = environment
    let home = folder.path.appending("openqa")
    for name in ["share/tests/lab/needles", "share/factory/iso", "pool"] {
      try Files.makeDirectory(home.appending(name))
    }
    try Files.replace(home.appending("share/factory/iso/lab.iso"), with: Array("no real ISO".utf8))
    let web = try await LocalServer.start(folder: folder.path.appending("web"), key: "KEY", secret: "SECRET")
    self.web = web
    log = try LogRecorder()
    shareLane = try IOLane(name: "share")
    ports = try InstancePorts()
    var options = CommandLineOptions()
    options.instance = ports.instance
    options.isotovideo = try Workbench.program("fake-isotovideo")
    var hosts = try proxy?(web) ?? web.url
    var other: LocalServer?
    if let secondAddress {
      let second = try await LocalServer.start(
        folder: folder.path.appending("other-web"), key: "OTHER-KEY", secret: "OTHER-SECRET")
      hosts += " \(try secondAddress(second))"
      other = second
    }
    self.other = other
    let text = """
      [global]
      HOST = \(hosts)
      WORKER_CLASS = test
      WORKER_HOSTNAME = 127.0.0.1
      LOG_LEVEL = debug
      RETRY_DELAY = 0
      RETRY_DELAY_IF_WEBUI_BUSY = 0
      POOL_MIN_FREE_GB = 0
      CRITICAL_LOAD_AVG_THRESHOLD = 0
      \(workers)
      """
    processEnvironment = [
      "OPENQA_API_KEY": "KEY", "OPENQA_API_SECRET": "SECRET", "OPENQA_CONFIG": folder.path.appending("etc").string,
      "OPENQA_BASEDIR": folder.path.string, "OPENQA_WORKER_CONNECT_INTERVAL": "0.1",
    ]
    try Files.makeDirectory(folder.path.appending("etc"))
    try Files.replace(folder.path.appending("etc/workers.ini"), with: text.utf8)
    var settings = try Settings(options: options, environment: processEnvironment)
    settings.connectInterval = .milliseconds(20)
    if other != nil { settings.webUIs[1].credentials = Credentials(key: "OTHER-KEY", secret: "OTHER-SECRET") }
    change(&settings)
    self.settings = settings
  }

  var pool: FilePath { settings.pool }
  var instance: Int { ports.instance }
  var share: FilePath { settings.paths.share }

  /// PATH, with scripts before what is installed.
  static func path(with programs: [String: String], in folder: FilePath) throws -> String {
    try Files.makeDirectory(folder)
    for (name, script) in programs {
      try Files.replace(
        folder.appending(name), with: Array("#!/bin/bash\n\(script)\n".utf8), permissions: .init(rawValue: 0o755))
    }
    return "\(folder):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
  }

  /// A program of this package.
  static func program(_ name: String) throws -> String {
    let folder =
      Bundle.main.bundleURL.pathExtension == "xctest" ? Bundle.main.bundleURL.deletingLastPathComponent() : nil
    let places = [folder, URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()].compactMap { $0 }
    let found = places.map { $0.appending(path: name).path }.first {
      FileManager.default.isExecutableFile(atPath: $0)
    }
    return try #require(found, "\(name) is not beside the tests")
  }

  /// Schedules a job that plays a scenario of fake-isotovideo; nil plays a run like a real one.
  /// - Parameter web: which web UI does; nil for the first.
  func schedule(
    _ scenario: String? = nil, _ more: [String: JSON] = [:], on web: LocalServer? = nil
  ) async throws -> Int64 {
    await (web ?? self.web).schedule(try settings(scenario, more))
  }

  /// Schedules jobs of which one slot runs one after the other.
  /// - Parameter jobs: the scenario of each, and which of those before it is its parent; nil for the first.
  func schedule(sequence jobs: [(scenario: String, parent: Int?)]) async throws -> [Int64] {
    await web.schedule(sequence: try jobs.map { (try settings($0.scenario, [:]), $0.parent) })
  }

  private func settings(_ scenario: String?, _ more: [String: JSON]) throws -> [String: JSON] {
    var settings: [String: JSON] = [
      "DISTRI": "lab", "VERSION": "1", "TEST": "basic", "ARCH": "x86_64", "WORKER_CLASS": "test", "ISO": "lab.iso",
      "ISOTOVIDEO": .string("exec '\(try Workbench.program("fake-isotovideo"))' -d"),
    ]
    if let scenario { settings["FAKE_ISOTOVIDEO_SCENARIO"] = .string(scenario) }
    return settings.merging(more) { $1 }
  }

  /// Runs the host while `body` runs, then stops it and the web UI.
  /// - Parameters:
  ///   - stopsHost: false for a host that is to end by itself.
  ///   - moreSlots: how many slots it has beside the first, with the same settings.
  /// - Returns: whether the host ended because it was asked to.
  @discardableResult
  func run(
    notifier: ServiceNotifier? = nil, stopsHost: Bool = true, moreSlots: Int = 0,
    _ body: @Sendable (AsyncStream<Slot.Command>.Continuation) async throws -> Void
  ) async throws -> Bool {
    let (commands, feed) = AsyncStream<Slot.Command>.makeStream()
    let morePorts = try (0..<moreSlots).map { _ in try InstancePorts() }
    defer { withExtendedLifetime(morePorts) {} }
    let more = morePorts.map { ports in
      var settings = settings
      settings.instance = ports.instance
      return settings
    }
    let host = try await Host(
      [settings] + more, environment: environment, output: log.output, notifier: notifier, shareLane: shareLane,
      recheck: recheck)
    async let end = host.run(commands)
    let result: Result<Void, any Error>
    do { result = .success(try await body(feed)) } catch { result = .failure(error) }
    if stopsHost { feed.yield(.stop) }
    if case .failure = result { feed.yield(.kill) }
    let wasAsked = await end == .asked
    await web.stop()
    await other?.stop()
    try result.get()
    return wasAsked
  }

  /// Returns when the web UI can send to the worker, which is a little after the worker knows of it.
  func connected(in file: String = #fileID, line: Int = #line) async throws {
    try await web.connected(in: file, line: line)
  }

  /// Returns when a job is such that `holds` holds, as the web UI knows it.
  func job(
    _ id: Int64, in file: String = #fileID, line: Int = #line, until holds: (LocalJob) -> Bool
  ) async throws {
    if let job = await web.job(id), holds(job) { return }
    try await web.event(in: file, line: line) { event in
      if case .changed(let job) = event, job.id == id { holds(job) } else { false }
    }
  }

  /// The end of a job.
  func end(of job: Int64, in file: String = #fileID, line: Int = #line) async throws -> LocalJob {
    let end = try await waiting(for: "the end of job \(job)", in: file, line: line) { () async throws -> LocalJob? in
      let end = try await web.end(of: job)
      try Task.checkCancellation()
      return end
    }
    return try #require(end)
  }

  /// A file that arrived at the web UI.
  func arrived(_ job: Int64, _ file: String) throws -> String? {
    let path = web.folder.appending(String(job)).appending(file)
    return try Files.read(path).map { String(decoding: $0, as: UTF8.self) }
  }
}

extension LocalServer {
  /// Returns when something happens for which `holds` holds.
  nonisolated(nonsending) func event(
    in file: String = #fileID, line: Int = #line, where holds: (Event) -> Bool
  ) async throws {
    try await waiting(for: "an event of the web UI", in: file, line: line) {
      for await event in events where holds(event) { return }
      // The stream ends for whoever is cancelled.
      throw CancellationError()
    }
  }

  /// Returns when a worker has connected.
  nonisolated(nonsending) func connected(in file: String = #fileID, line: Int = #line) async throws {
    try await event(in: file, line: line) { if case .connected = $0 { true } else { false } }
  }
}

/// The host's log, to wait for lines of it.
final class LogRecorder: Sendable {
  private struct State {
    var lines: [String] = []
    var waiters: [(text: String, latch: Latch<String>)] = []
    var counters: [(text: String, counter: EventCounter)] = []
  }

  let output: LogOutput
  private let state: Guarded<State>

  init() throws {
    let state = Guarded(State())
    self.state = state
    output = try LogOutput { line in
      let (latches, counters) = state.withLock { state in
        state.lines.append(line)
        return (
          state.waiters.filter { line.contains($0.text) }.map(\.latch),
          state.counters.filter { line.contains($0.text) }.map(\.counter)
        )
      }
      for latch in latches { latch.open(with: line) }
      for counter in counters { counter.increment() }
    }
  }

  var lines: [String] { state.withLock { $0.lines } }

  /// Counts the lines from now on that have `text` in them.
  func count(of text: String) -> EventCounter {
    let counter = EventCounter()
    state.withLock { $0.counters.append((text, counter)) }
    return counter
  }

  /// Returns when so many lines have `text` in them.
  func lines(with text: String, count: Int, in file: String = #fileID, line: Int = #line) async throws {
    while true {
      let next = Latch<String>()
      let known = state.withLock { state in
        state.waiters.append((text, next))
        return state.lines.count { $0.contains(text) }
      }
      if known >= count { return }
      try await waiting(for: "\(count) lines with '\(text)', there are \(known); \(end)", in: file, line: line) {
        _ = try await next.wait()
      }
    }
  }

  /// The first line that has `text` in it, as soon as there is one.
  @discardableResult
  func line(with text: String, in file: String = #fileID, line: Int = #line) async throws -> String {
    let latch = Latch<String>()
    let known = state.withLock { state in
      state.waiters.append((text, latch))
      return state.lines.first { $0.contains(text) }
    }
    if let known { latch.open(with: known) }
    return try await waiting(for: "a line with '\(text)'; \(end)", in: file, line: line) { try await latch.wait() }
  }

  private var end: String { "the last ones: \(lines.suffix(5).joined())" }
}
