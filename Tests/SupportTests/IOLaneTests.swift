import Support
import TestSupport
import Testing

@Suite("IOLane", .timeLimit(.minutes(1)))
struct IOLaneTests {
  struct Failure: Error {}

  @Test("runs in order and hands results and errors back")
  func order() async throws {
    let lane = try IOLane(name: "test")
    let seen = Guarded<[Int]>([])
    for number in 0..<100 { try await lane.run { seen.withLock { $0.append(number) } } }
    #expect(seen.withLock { $0 } == Array(0..<100))
    await #expect(throws: Failure.self) { try await lane.run { throw Failure() } }
  }

  /// Numbers its calls.
  actor Caller {
    private var calls = 0

    func call(_ lane: IOLane, _ seen: Guarded<[Int]>) async throws {
      let number = calls
      calls += 1
      try await lane.run { seen.withLock { $0.append(number) } }
    }
  }

  @Test("an actor's calls run in the order in which it makes them, whoever waits for them")
  func actorOrder() async throws {
    let lane = try IOLane(name: "test")
    let seen = Guarded<[Int]>([])
    let caller = Caller()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<1000 { group.addTask { try await caller.call(lane, seen) } }
      try await group.waitForAll()
    }
    #expect(seen.withLock { $0 } == Array(0..<1000))
  }

  @Test("a call that hangs frees its caller, not the thread")
  func hanging() async throws {
    let lane = try IOLane(name: "test")
    let other = try IOLane(name: "other")
    let gate = Gate()
    await #expect(throws: IOLane.TimedOut.self) { try await lane.run(limit: .milliseconds(20)) { gate.wait() } }
    #expect(try await other.run { 1 } == 1)
    let behind = Task { try await lane.run { 2 } }
    let cancelled = Task { try await lane.run { 3 } }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    gate.open()
    #expect(try await behind.value == 2)
  }

  @Test("a short limit passes before a long one that was set earlier; whoever is done in time hears of none")
  func limits() async throws {
    let lane = try IOLane(name: "test")
    let gate = Gate()
    #expect(try await lane.run(limit: .seconds(50)) { 1 } == 1)
    let begun = Latch<Void>()
    let long = Task {
      try await lane.run(limit: .seconds(50)) {
        begun.open(with: ())
        gate.wait()
      }
    }
    try await begun.reached()
    for milliseconds in [30, 20, 10] {
      await #expect(throws: IOLane.TimedOut.self) { try await lane.run(limit: .milliseconds(milliseconds)) {} }
    }
    gate.open()
    try await long.value
    lane.submit(limit: .seconds(50), orElse: { _ in Issue.record("it ended in time") }) {}
    #expect(try await lane.run { 2 } == 2)
  }

  /// Blocks a thread for real, as a dead file server does.
  final class Gate: Sendable {
    private let pipe = Pipe()
    func wait() { pipe.read() }
    func open() { pipe.write() }
  }
}
