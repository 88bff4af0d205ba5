import Foundation
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

/// Lets the program do the same again and again, and compares what it holds after a tenth of that and at the end: bytes
/// that are allocated, descriptors, threads and child processes.
///
/// `LONG_LIFE` is the number of times, for each kind of work; without it a few of all kinds have to do, and larger
/// differences pass. `LONG_LIFE_WORK` is the one kind to do. `LONG_LIFE_AGENT` is another build of the program than
/// that of the tests. `scripts/measure-growth` sets them.
@Suite(
  "A worker that runs for long", .timeLimit(.minutes(60)), .disabled(if: isSanitized, "it has a malloc of its own"))
struct LongLifeTests {
  /// A kind of work.
  enum Work: String, CaseIterable, Sendable {
    /// Jobs that end in each way.
    case jobs
    /// Connections that the web UI closes or resets.
    case reconnections
    case statuses
    /// Viewers of one job who come and go.
    case viewers
    /// SIGHUPs with settings that cannot be used.
    case refusals
    /// A job with a viewer, a connection and a refused SIGHUP each.
    case all
  }

  private static let count = ProcessInfo.processInfo.environment["LONG_LIFE"].flatMap { Int($0) }
  private static let kinds: [Work] = {
    if let kind = ProcessInfo.processInfo.environment["LONG_LIFE_WORK"].flatMap({ Work(rawValue: $0) }) {
      return [kind]
    }
    return count == nil ? [.all] : Work.allCases.filter { $0 != .all }
  }()

  @Test("holds no more in the end", arguments: kinds)
  func work(_ work: Work) async throws {
    let scene = try await Scene()
    var log = try LogFollower(scene.log, scene.watcher)
    try await scene.begin(work)
    let (first, last) = Self.count.map { ($0 / 10, $0) } ?? (5, 15)
    for round in 0..<first { try await scene.perform(work, round, &log) }
    let before = (bytes: try await scene.bytesInUse(&log), rest: try scene.holdings())
    for round in first..<last { try await scene.perform(work, round, &log) }
    let after = (bytes: try await scene.bytesInUse(&log), rest: try scene.holdings())
    let growth = (after.bytes - before.bytes) / (last - first)
    note(
      """
      \(work.rawValue): \(growth) bytes each; after \(first): \(before.bytes) bytes in use, \(before.rest), after \(last): \
      \(after.bytes) bytes in use, \(after.rest)
      """)
    // Few show what is done for the first time.
    #expect(growth <= (Self.count == nil ? 2048 : 205))
    #expect(after.rest.isNoMore(than: before.rest))
    try await scene.end()
  }

  @Test("holds no more after SIGHUPs that it follows")
  func reloads() async throws {
    let scene = try await Scene()
    let count = Self.count ?? 20
    for _ in 0..<(count / 10) { try await scene.reload() }
    let before = try scene.holdings()
    for _ in (count / 10)..<count { try await scene.reload() }
    let after = try scene.holdings()
    note("SIGHUPs: after \(count / 10): \(before), after \(count): \(after)")
    #expect(after.isNoMore(than: before))
    try await scene.end()
  }
}

/// What a process holds beside memory.
private struct Holdings: CustomStringConvertible {
  var descriptors: Int
  var threads: Int
  /// Those that have ended and were not waited for included.
  var children: Int

  /// Some more connections may be kept for the next call, up to the number of concurrent uploads, and threads of Swift's pool
  /// come and go.
  func isNoMore(than other: Holdings) -> Bool {
    descriptors <= other.descriptors + 4 && threads <= other.threads + 2 && children <= other.children
  }

  var description: String {
    "\(descriptors) descriptors, \(threads) threads, \(children) child processes"
  }
}

/// The program with its web UI behind a proxy.
private final class Scene: Sendable {
  let log: FilePath
  let watcher = FileWatcher { _ in }
  private let bench: Workbench
  private let proxy: FaultProxy
  private let agent: AgentProcess
  /// The one that viewers look at.
  private let job = Latch<Int64>()

  init() async throws {
    let behind = Latch<FaultProxy>()
    bench = try await Workbench(
      through: { web in
        let proxy = try FaultProxy(to: try #require(web.url.split(separator: ":").last.flatMap { Int($0) }))
        behind.open(with: proxy)
        return "http://127.0.0.1:\(proxy.port)"
      }, workers: "STATUS_MIN_INTERVAL = 1\nSTATUS_MAX_INTERVAL = 1")
    proxy = try await behind.wait()
    log = bench.folder.path.appending("log/agent.log")
    try Files.makeDirectory(log.removingLastComponent())
    // Freed blocks that malloc keeps for a thread would count as in use.
    agent = try AgentProcess(
      bench, program: ProcessInfo.processInfo.environment["LONG_LIFE_AGENT"],
      environment: ["GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"], log: log)
    try await bench.connected()
    // Each thread of Swift's pool keeps the memory of 1024 tasks that others have woken, some 80 KB. Now all have.
    for _ in 0..<3000 { await bench.web.send(["type": "info", "seen": 1], to: 1) }
  }

  func begin(_ work: LongLifeTests.Work) async throws {
    switch work {
    case .viewers: job.open(with: try await beginJob())
    case .refusals, .all:
      // From now on they cannot be used.
      try Files.replace(bench.folder.path.appending("etc/workers.ini"), with: Array("[global]\nHOST = :\n".utf8))
    case .jobs, .reconnections, .statuses: break
    }
  }

  func perform(_ work: LongLifeTests.Work, _ round: Int, _ log: inout LogFollower) async throws {
    switch work {
    case .jobs: try await runJob(round)
    case .reconnections:
      proxy.breakConnections(resetting: round.isMultiple(of: 2))
      try await bench.connected()
    case .statuses: _ = await bench.web.status()
    case .viewers: if let job = job.value { try await view(job) }
    case .refusals:
      log.skip()
      agent.send(SIGHUP)
      _ = try await log.line(with: "Going on with the settings as they were")
    case .all:
      try await runJob(round)
      try await perform(.reconnections, round, &log)
      try await perform(.refusals, round, &log)
      let viewed = try await beginJob()
      try await view(viewed)
      try await endJob(viewed)
    }
  }

  /// Runs a job. One of five has an image that no other has: the agent remembers it, up to a limit (`KnownImages`).
  private func runJob(_ round: Int) async throws {
    let (id, result): (Int64, String) =
      switch round % 5 {
      case 0: (try await bench.schedule(Self.withImage), "passed")
      case 1: (try await bench.schedule(SequenceTests.failing), "failed")
      case 2: (try await bench.schedule(SequenceTests.dying), "incomplete")
      case 3: (try await bench.schedule(SequenceTests.passing, ["ISO": "missing.iso"]), "incomplete")
      default: (try await beginJob(), "user_cancelled")
      }
    if round % 5 == 4 { await bench.web.send(.cancel, for: id) }
    let end = try await bench.end(of: id)
    #expect(end.result == result, "\(end.reason ?? "")")
  }

  private static let withImage =
    #"{"modules":[{"name":"a","steps":[{"screenshot":{"noise":1000}},{"text":"x"},{"log":"a line"}]}]}"#
  private static let untilEnd = #"{"modules":[{"name":"a","steps":[{"screenshot":{}},{"until":"end"}]}]}"#

  /// Starts a job that runs until it is told to end.
  private func beginJob() async throws -> Int64 {
    let id = try await bench.schedule(Self.untilEnd)
    try await bench.job(id) { $0.state == .running }
    return id
  }

  private func endJob(_ id: Int64) async throws {
    try Files.append([], to: bench.pool.appending("end"))
    #expect(try await bench.end(of: id).result == "passed")
  }

  /// Lets a viewer come and go.
  private func view(_ job: Int64) async throws {
    await bench.web.send(.startLiveLog, for: job)
    try await isViewed(true)
    await bench.web.send(.stopLiveLog, for: job)
    try await isViewed(false)
  }

  private func isViewed(_ isViewed: Bool) async throws {
    let watch = try watcher.watch(bench.pool, for: [.created, .deleted, .movedIn])
    for await _ in watch where Files.exists(bench.pool.appending("live_log")) == isViewed { return }
  }

  /// Lets the program begin anew.
  func reload() async throws {
    agent.send(SIGHUP)
    try await bench.connected()
  }

  /// The bytes that the program has allocated. It says so whenever it has given memory back, which it does after whatever
  /// happens to its slot, so an answer of its web UI will do. What it has just begun may be in the first number: the smaller
  /// one counts.
  func bytesInUse(_ log: inout LogFollower) async throws -> Int {
    var bytes = Int.max
    log.skip()
    for _ in 0..<2 {
      await bench.web.send(["type": "info", "seen": 1], to: 1)
      let line = try await log.line(with: "Memory in use: ")
      bytes = min(bytes, try #require(line.split(separator: " ").dropLast().last.flatMap { Int($0) }))
    }
    return bytes
  }

  func holdings() throws -> Holdings {
    let process = FilePath("/proc/\(agent.pid)")
    let threads = try Files.names(in: process.appending("task"))
    let children = threads.compactMap { try? Files.read(process.appending("task/\($0)/children")) }
    return Holdings(
      descriptors: try Files.names(in: process.appending("fd")).count, threads: threads.count,
      children: children.reduce(0) { $0 + $1.count { $0 == UInt8(ascii: " ") } })
  }

  func end() async throws {
    if let job = job.value { try await endJob(job) }
    agent.send(SIGTERM)
    #expect(try await agent.exit() == 0)
    #expect(try Files.names(in: bench.pool) == [".locked", ".supervisor"])
    await bench.web.stop()
    proxy.stop()
  }
}
