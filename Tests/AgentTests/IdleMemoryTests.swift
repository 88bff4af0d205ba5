import Testing

@testable import Agent

@Suite("Memory that an idle host gives back", .timeLimit(.minutes(1)))
struct IdleMemoryTests {
  @Test("comes after whatever happens, all at once, and not more often than there is a pause")
  func rounds() async {
    let (events, tell) = AsyncStream.makeStream(of: String.self)
    let (gate, letGo) = AsyncStream.makeStream(of: Void.self)
    let memory = IdleMemory(clock: StepClock(tell: tell, gate: gate)) { tell.yield($0 ? "thoroughly" : "quickly") }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await memory.run() }
      var told = events.makeAsyncIterator()
      memory.note(SlotCondition(), slot: 1)
      for round in 1...5 {
        #expect(await told.next() == "1.0 seconds")
        letGo.yield()
        #expect(await told.next() == (round > 3 ? "quickly" : "thoroughly"))
        #expect(await told.next() == "5.0 seconds")
        // What happens during the pause is seen afterwards, all at once.
        for _ in 0..<3 { memory.note(SlotCondition(), slot: 1) }
        letGo.yield()
      }
      #expect(await told.next() == "1.0 seconds")
      group.cancelAll()
    }
  }
}

@Suite("Rounds that give memory back")
struct IdleMemoryRoundsTests {
  /// What happens before a round, to which slot, and whether the round is thorough.
  typealias Step = (slot: Int, isIdle: Bool, isThorough: Bool)

  @Test(
    "are thorough after the start and after jobs, while no slot has one",
    arguments: [
      [(1, true, true), (1, true, true), (1, true, true), (1, true, false), (1, true, false)],
      [(1, false, false), (1, false, false), (1, true, true), (1, true, true), (1, true, true), (1, true, false)],
      [
        (1, true, true), (1, true, true), (1, true, true), (1, false, false), (2, false, false), (1, true, false),
        (2, true, true), (1, true, true), (2, true, false),
      ],
    ] as [[Step]])
  func rounds(_ story: [Step]) {
    var rounds = IdleMemory.Rounds()
    for step in story {
      rounds.note(step.slot, isIdle: step.isIdle)
      #expect(rounds.isNextThorough() == step.isThorough)
    }
  }
}

/// A clock whose waits are told, and last until they are let go.
private struct StepClock: Clock, Sendable {
  let tell: AsyncStream<String>.Continuation
  let gate: AsyncStream<Void>

  var now: ContinuousClock.Instant { start }
  var minimumResolution: Duration { .zero }
  private let start = ContinuousClock.now

  init(tell: AsyncStream<String>.Continuation, gate: AsyncStream<Void>) { (self.tell, self.gate) = (tell, gate) }

  func sleep(until deadline: ContinuousClock.Instant, tolerance: Duration?) async throws {
    tell.yield("\(start.duration(to: deadline))")
    for await _ in gate { return }
    throw CancellationError()
  }
}
