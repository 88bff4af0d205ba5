import Agent
import Configuration
import Glibc
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Several slots in one process", .timeLimit(.minutes(2)))
struct SeveralSlotsTests {
  /// With a module that the web UI sees images and logs of.
  private static let short = #"{"modules":[{"name":"a","steps":[{"screenshot":{"noise":2000}},{"log":"now"}]}]}"#
  private static let stubborn = #"{"term":"ignore","modules":[{"name":"a","steps":[{"hang":true}]}]}"#

  /// From the moment that the job is scheduled to its end at the web UI.
  private func time(_ bench: Workbench) async throws -> Duration {
    let start = ContinuousClock.now
    let job = try await bench.end(of: try await bench.schedule(Self.short))
    #expect(job.result == "passed" && job.files.contains("autoinst-log.txt"))
    return start.duration(to: .now)
  }

  @Test("each runs jobs of its own, at the same time")
  func together() async throws {
    let bench = try await Workbench()
    try await bench.run(moreSlots: 3) { _ in
      var ids: [Int64] = []
      for _ in 0..<4 { ids.append(try await bench.schedule(JobTests.waiting)) }
      for id in ids { try await bench.job(id) { $0.state == .running } }
      for id in ids { await bench.web.send(.cancel, for: id) }
      for id in ids { #expect(try await bench.end(of: id).result == "user_cancelled") }
    }
  }

  @Test("a backend that does not end when it is told to holds up no other slot")
  func stubbornBackend() async throws {
    // What its supervisor does with it is not waited for.
    let bench = try await Workbench(change: { $0.orphanLimit = .seconds(1) })
    try await bench.run(stopsHost: false, moreSlots: 1) { commands in
      let id = try await bench.schedule(Self.stubborn)
      try await bench.job(id) { $0.state == .running }
      var before: [Duration] = []
      for _ in 0..<5 { before.append(try await time(bench)) }
      await bench.web.send(.cancel, for: id)
      try await bench.job(id) { $0.state == .uploading }
      var after: [Duration] = []
      for _ in 0..<5 { after.append(try await time(bench)) }
      #expect(await bench.web.job(id)?.state == .uploading, "it is still being ended")
      // Medians; a stop that held others up would cost them the rest of its 30 seconds.
      let (quiet, loud) = (before.sorted()[2], after.sorted()[2])
      print("a job takes \(quiet) beside a running backend, \(loud) beside one that is being ended")
      #expect(loud < quiet * 3 + .seconds(1))
      commands.yield(.kill)
    }
    _ = await Leftovers.end(mark: "WORKER_AGENT_POOL=\(bench.pool)")
  }
}
