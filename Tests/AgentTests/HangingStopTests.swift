import Agent
import Configuration
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

/// A pool on a disk that hangs, and a web UI that takes nothing from its socket any more: all the same, whoever wants an end
/// gets it.
@Suite("Stops beside what hangs", .timeLimit(.minutes(1)))
struct HangingStopTests {
  enum Wish: String, CaseIterable, Sendable { case cancel, stop, secondStop }

  private static let limit = Duration.seconds(isSanitized ? 10 : 1)
  private static let scenario = #"{"term":"exit","modules":[{"name":"a","steps":[{"screenshot":{}},{"hang":true}]}]}"#
  /// Some statuses with this in it do not arrive where nobody reads. With a sanitizer, they would take all the time there is.
  private static let filling = JSON.string(String(repeating: "x", count: isSanitized ? 1 << 10 : 1 << 20))

  @Test(
    "a stop takes effect at once", .enabled(if: Mount.isFUSEAllowed, "no file system can be mounted here"),
    arguments: Wish.allCases)
  func duringJob(_ wish: Wish) async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(
      beside: { try BadWebUITests.front($0, proxy) },
      change: { $0.statusInterval = .milliseconds(500) ... .milliseconds(500) })
    let front = try await proxy.wait()
    let mount = Guarded<Mount?>(nil)
    let start = Latch<ContinuousClock.Instant>()
    let wasAsked = try await bench.run { commands in
      let job = try await bench.schedule(Self.scenario, ["FILLING": Self.filling])
      try await bench.log.line(with: "command server is up")
      front.freeze()
      mount.withLock { $0 = try? Mount(hangingOn: bench.pool) }
      try #require(mount.withLock { $0 != nil })
      // Meanwhile the other web UI has been sent more than the buffers of its sockets take.
      try await Self.statuses(4, of: bench)
      start.open(with: .now)
      switch wish {
      case .cancel: await bench.web.send(.cancel, for: job)
      case .stop: commands.yield(.stop)
      case .secondStop:
        commands.yield(.stop)
        commands.yield(.kill)
        try await bench.web.event { event in
          if case .message(let message, _) = event, message["type"] == "quit" { true } else { false }
        }
        return
      }
      try await bench.log.line(with: "Isotovideo exit status")
      try await bench.job(job) { $0.state == .uploading || $0.state == .done }
      let time = try await start.wait().duration(to: .now)
      #expect(time < Self.limit, "\(wish): \(time)")
      // The disk is back, and the job's end takes its course.
      mount.withLock { $0 = nil }
      front.freeze(false)
      let result = try await bench.end(of: job).result
      #expect(result == (wish == .cancel ? "user_cancelled" : "incomplete"))
    }
    if wish == .secondStop {
      let time = try await start.wait().duration(to: .now)
      #expect(time < Self.limit, "\(wish): \(time)")
      mount.withLock { $0 = nil }
      // The job is left to the next process.
      let folder = bench.pool.appending(".supervisor")
      if case .running(let tree) = try await Supervisor.find(in: folder, mark: "WORKER_AGENT_POOL=\(bench.pool)") {
        #expect(await tree.stop(grace: .zero) == .gone)
        await tree.release()
      }
    }
    #expect(wasAsked)
    front.stop()
  }

  @Test("without a job, the host ends at once", .enabled(if: Mount.isFUSEAllowed, "no file system can be mounted here"))
  func withoutJob() async throws {
    let proxy = Latch<FaultProxy>()
    let bench = try await Workbench(
      through: { try BadWebUITests.front($0, proxy) }, recheck: .milliseconds(50))
    let front = try await proxy.wait()
    let mount = Guarded<Mount?>(nil)
    let start = Latch<ContinuousClock.Instant>()
    let wasAsked = try await bench.run { _ in
      try await bench.log.line(with: "Registered and connected")
      mount.withLock { $0 = try? Mount(hangingOn: bench.pool) }
      try #require(mount.withLock { $0 != nil })
      front.freeze()
      start.open(with: .now)
    }
    let time = try await start.wait().duration(to: .now)
    #expect(wasAsked && time < Self.limit, "\(time)")
    mount.withLock { $0 = nil }
    front.stop()
  }

  /// Returns when so many more have come.
  private static func statuses(_ count: Int, of bench: Workbench) async throws {
    var left = count
    for await case .message(let message, _) in bench.web.events where message["type"] == "worker_status" {
      left -= 1
      if left == 0 { return }
    }
  }
}
