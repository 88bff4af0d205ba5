import Support

/// Counts something that happens elsewhere, for tests that wait for it.
package final class EventCounter: Sendable {
  private struct State {
    var count = 0
    var nextID = 0
    var waiters: [Int: (goal: Int, continuation: CheckedContinuation<Bool, Never>)] = [:]
    var cancelled: Set<Int> = []
  }

  private let state = Guarded(State())

  /// Begins at zero.
  package init() {}

  /// How often it has happened.
  package var count: Int { state.withLock { $0.count } }

  /// Says that it has happened.
  package func increment() {
    let reached = state.withLock { state in
      state.count += 1
      let reached = state.waiters.filter { $0.value.goal <= state.count }
      for id in reached.keys { state.waiters[id] = nil }
      return reached.values.map(\.continuation)
    }
    for continuation in reached { continuation.resume(returning: true) }
  }

  /// Waits until it has happened `goal` times.
  /// - Throws: `CancellationError` if the task is cancelled before.
  package func reach(_ goal: Int, in file: String = #fileID, line: Int = #line) async throws {
    try await waiting(for: "something to happen \(goal) times, it has \(count) times", in: file, line: line) {
      try await reached(goal)
    }
  }

  private func reached(_ goal: Int) async throws {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    let reached = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let outcome: Bool? = state.withLock { state in
          if state.count >= goal { return true }
          if state.cancelled.contains(id) { return false }
          state.waiters[id] = (goal, continuation)
          return nil
        }
        if let outcome { continuation.resume(returning: outcome) }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        state.cancelled.insert(id)
        return state.waiters.removeValue(forKey: id)?.continuation
      }
      waiter?.resume(returning: false)
    }
    if !reached { throw CancellationError() }
  }
}
