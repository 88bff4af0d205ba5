/// A value that is set once, by whoever comes first, and that any number of tasks can wait for.
public final class Latch<Value: Sendable>: Sendable {
  private struct State {
    var value: Value?
    var waiters: [Int: CheckedContinuation<Void, any Error>] = [:]
    var nextWaiter = 0
    /// Waiters that were cancelled before they had a continuation.
    var cancelled: Set<Int> = []
  }

  private let state = Guarded(State())

  /// Begins without a value.
  public init() {}

  /// The value, if it is set.
  public var value: Value? { state.withLock { $0.value } }

  /// Sets the value, unless there is one already, and wakes all who wait.
  /// - Returns: whether it was this call that set it.
  @discardableResult
  public func open(with value: Value) -> Bool {
    let waiters = state.withLock { state -> [CheckedContinuation<Void, any Error>]? in
      guard state.value == nil else { return nil }
      state.value = value
      defer { state.waiters = [:] }
      return Array(state.waiters.values)
    }
    guard let waiters else { return false }
    for waiter in waiters { waiter.resume() }
    return true
  }

  /// The value, as soon as it is set.
  /// - Throws: `CancellationError`, at once, when the waiting task is cancelled.
  public func wait() async throws -> Value {
    if let value { return value }
    let id = state.withLock { state -> Int in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    defer { _ = state.withLock { $0.cancelled.remove(id) } }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let result = state.withLock { state -> Result<Void, any Error>? in
          if state.value != nil { return .success(()) }
          if state.cancelled.contains(id) { return .failure(CancellationError()) }
          state.waiters[id] = continuation
          return nil
        }
        if let result { continuation.resume(with: result) }
      }
    } onCancel: {
      let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
        if let waiter = state.waiters.removeValue(forKey: id) { return waiter }
        state.cancelled.insert(id)
        return nil
      }
      waiter?.resume(throwing: CancellationError())
    }
    // The value comes under the lock, not through the continuation: ThreadSanitizer does not see the order that one makes
    // which is resumed before it is awaited.
    guard let value else { throw CancellationError() }
    return value
  }
}
