import Support
import Testing

@Suite("Latch", .timeLimit(.minutes(1)))
struct LatchTests {
  @Test("the first value stays, and everybody gets it")
  func first() async throws {
    let latch = Latch<Int>()
    try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<20 { group.addTask { try await latch.wait() } }
      #expect(latch.value == nil)
      #expect(latch.open(with: 1))
      #expect(!latch.open(with: 2))
      for try await value in group { #expect(value == 1) }
    }
    #expect(try await latch.wait() == 1)
  }

  @Test("a cancelled waiter leaves at once, the others stay")
  func cancelled() async throws {
    let latch = Latch<Int>()
    let stays = Task { try await latch.wait() }
    for _ in 0..<200 {
      let leaves = Task { try await latch.wait() }
      leaves.cancel()
      await #expect(throws: CancellationError.self) { try await leaves.value }
    }
    latch.open(with: 3)
    #expect(try await stays.value == 3)
  }
}
