import Support

/// A result that arrives once, from whichever thread has it first, and is kept for everybody who asks.
final class Promise<Value: Sendable>: Sendable {
  private typealias Waiter = CheckedContinuation<Result<Value, any Error>, Never>
  private struct State {
    var result: Result<Value, any Error>?
    var waiters: [UInt64: Waiter] = [:]
    var cancelled: Set<UInt64> = []
    var nextID: UInt64 = 0
  }

  private let state = Guarded(State())

  /// Hands over the result; false if there was one already, which stays.
  @discardableResult
  func resolve(_ result: Result<Value, any Error>) -> Bool {
    let waiters: [UInt64: Waiter]? = state.withLock { state in
      if state.result != nil { return nil }
      state.result = result
      let waiters = state.waiters
      state.waiters = [:]
      return waiters
    }
    for waiter in (waiters ?? [:]).values { waiter.resume(returning: result) }
    return waiters != nil
  }

  /// ``resolve(_:)`` with success.
  @discardableResult
  func succeed(_ value: Value) -> Bool { resolve(.success(value)) }

  /// ``resolve(_:)`` with failure.
  @discardableResult
  func fail(_ error: any Error) -> Bool { resolve(.failure(error)) }

  /// Waits for the result, deaf to cancellation: for waiters whose cancellation resolves the promise.
  var value: Value {
    get async throws { try await wait(newID()).get() }
  }

  /// Waits for the result or, alone of all waiters, for this task's cancellation.
  /// - Throws: what the promise failed with, or `CancellationError`.
  var valueUnlessCancelled: Value {
    get async throws {
      let id = newID()
      return try await withTaskCancellationHandler {
        try await wait(id).get()
      } onCancel: {
        let waiter: Waiter? = state.withLock { state in
          if state.result == nil { state.cancelled.insert(id) }
          return state.waiters.removeValue(forKey: id)
        }
        waiter?.resume(returning: .failure(CancellationError()))
      }
    }
  }

  private func newID() -> UInt64 {
    state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
  }

  private func wait(_ id: UInt64) async -> Result<Value, any Error> {
    await withCheckedContinuation { continuation in
      let result: Result<Value, any Error>? = state.withLock { state in
        if let result = state.result { return result }
        if state.cancelled.contains(id) { return .failure(CancellationError()) }
        state.waiters[id] = continuation
        return nil
      }
      if let result { continuation.resume(returning: result) }
    }
  }
}
