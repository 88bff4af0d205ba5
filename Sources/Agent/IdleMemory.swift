import Support

/// Gives memory back after whatever slots have done: a worker waits for hours between jobs, and then it is there for the
/// tests of others.
struct IdleMemory: Sendable {
  /// From something that happens until what comes of it, such as a web UI's answer, is mostly over.
  static let delay = Duration.seconds(1)
  /// A host with many slots does not do it more often.
  static let pause = Duration.seconds(5)

  private let clock: any Clock<Duration> & Sendable
  private let giveBack: @Sendable (_ thoroughly: Bool) async -> Void
  private let rounds = Guarded(Rounds())
  private let happenings: AsyncStream<Void>
  private let feed: AsyncStream<Void>.Continuation

  /// - Parameter giveBack: see `ProcessMemory`.
  init(
    clock: any Clock<Duration> & Sendable = DeadlineClock(),
    giveBack: @escaping @Sendable (_ thoroughly: Bool) async -> Void
  ) {
    self.clock = clock
    self.giveBack = giveBack
    (happenings, feed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Hears what a slot is at, after each thing that happens to it.
  func note(_ condition: SlotCondition, slot: Int) {
    rounds.withLock { $0.note(slot, isIdle: condition.phase == .idle) }
    feed.yield()
  }

  /// Lives until its task is cancelled.
  func run() async {
    do {
      for await _ in happenings {
        try await clock.sleep(for: IdleMemory.delay)
        await giveBack(rounds.withLock { $0.isNextThorough() })
        try await clock.sleep(for: IdleMemory.pause)
      }
    } catch {
      // The host has ended.
    }
  }

  /// Which rounds are thorough: what they give back may have to be read again from a disk that the tests use. So it is
  /// what is needed for a time alone, the start or a job, and while no job runs.
  struct Rounds {
    /// Whatever an idle slot does now and then looks for parts of the program the first time that it does it.
    private var thorough = 3
    private var busy: Set<Int> = []

    mutating func note(_ slot: Int, isIdle: Bool) {
      if !isIdle {
        busy.insert(slot)
      } else if busy.remove(slot) != nil {
        thorough = max(thorough, 2)
      }
    }

    mutating func isNextThorough() -> Bool {
      guard busy.isEmpty, thorough > 0 else { return false }
      thorough -= 1
      return true
    }
  }
}
