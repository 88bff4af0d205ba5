import Support
import Testing

@Suite("Observed", .timeLimit(.minutes(1)))
struct ObservedTests {
  @Test("all who wait hear of a change")
  func waiting() async throws {
    let number = Observed(0)
    try await withThrowingTaskGroup(of: Int.self) { group in
      for goal in 1...20 { group.addTask { try await number.wait { $0 >= goal } } }
      for _ in 1...20 {
        number.change { $0 += 1 }
        await Task.yield()
      }
      var count = 0
      for try await value in group {
        count += 1
        #expect(value >= 1)
      }
      #expect(count == 20 && number.value == 20)
    }
  }

  @Test("who is cancelled waits no more")
  func cancelled() async {
    let number = Observed(0)
    let waiting = Task { try await number.wait { $0 > 0 } }
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
  }
}
