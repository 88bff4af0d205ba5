import Support
import Testing

@testable import WebUIClient

@Suite("The places for uploads", .timeLimit(.minutes(1)))
struct UploadBudgetTests {
  @Test("half of them when the web UI has too much to do, once for all that had begun, and up again one by one")
  func window() throws {
    var window = UploadWindow(maximum: 8)
    let places = (0..<8).compactMap { _ in window.enter() }
    #expect(places.count == 8 && window.enter() == nil)
    for place in places { window.leave(place, isCongested: true) }
    #expect(window.limit == 4 && window.used == 0)
    func leave(isCongested: Bool?, times: Int) throws {
      for _ in 0..<times {
        let place = window.enter()
        window.leave(try #require(place), isCongested: isCongested)
      }
    }
    try leave(isCongested: false, times: 4)
    #expect(window.limit == 4)
    try leave(isCongested: false, times: 1)
    #expect(window.limit == 5)
    try leave(isCongested: false, times: 6 + 7 + 8)
    #expect(window.limit == 8)
    try leave(isCongested: false, times: 100)
    #expect(window.limit == 8)
    try leave(isCongested: true, times: 10)
    #expect(window.limit == 1)
    try leave(isCongested: nil, times: 10)
    #expect(window.limit == 1)
  }

  @Test("never more at a time than there are; whoever gives up waiting takes none")
  func sharing() async throws {
    let budget = UploadBudget(3)
    let now = Guarded((current: 0, most: 0, done: 0))
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<200 {
        group.addTask {
          try? await budget.use {
            now.withLock {
              $0.current += 1
              $0.most = max($0.most, $0.current)
            }
            await Task.yield()
            now.withLock {
              $0.current -= 1
              $0.done += 1
            }
          }
        }
        if number == 100 { group.cancelAll() }
      }
    }
    #expect(now.withLock { $0.most <= 3 && $0.current == 0 && $0.done > 0 })
    // All places are there again.
    let held = Observed(0)
    let gate = Latch<Void>()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<3 {
        group.addTask {
          try await budget.use {
            held.change { $0 += 1 }
            _ = try await gate.wait()
          }
        }
      }
      try await held.wait { $0 == 3 }
      gate.open(with: ())
      try await group.waitForAll()
    }
  }

  @Test("what a busy web UI answers to takes places away, what else goes wrong does not")
  func errors() async throws {
    let budget = UploadBudget(4)
    func fail(_ code: WebUIError.Code) async {
      await #expect(throws: WebUIError.self) { try await budget.use { throw WebUIError(code, "") } }
    }
    await fail(.status(400))
    await fail(.connection(isTimeout: false))
    #expect(budget.limit == 4)
    await fail(.status(503))
    #expect(budget.limit == 2)
    await fail(.connection(isTimeout: true))
    #expect(budget.limit == 1)
  }
}
