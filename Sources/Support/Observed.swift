/// A value that changes, and whose changes tasks wait for. Who is slow sees the newest value, not each that it has had.
/// As a sequence it begins with the value that there is.
public final class Observed<Value: Sendable>: Sendable, AsyncSequence {
  private struct State {
    var value: Value
    /// Opened by the next change.
    var next = Latch<Void>()
  }

  private let state: Guarded<State>

  /// Begins with `value`.
  public init(_ value: Value) { state = Guarded(State(value: value)) }

  /// What it is now.
  public var value: Value { state.withLock { $0.value } }

  /// Changes the value and wakes all who wait for that. `body` runs under a lock.
  public func change(_ body: (inout Value) -> Void) {
    let latch = state.withLock { state in
      body(&state.value)
      defer { state.next = Latch() }
      return state.next
    }
    latch.open(with: ())
  }

  /// One consumer's way through the changes.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let observed: Observed
    fileprivate var change: Latch<Void>?

    /// The value that there is, then the newest after each change; nil when the task is cancelled.
    public mutating func next() async -> Value? {
      if let change, (try? await change.wait()) == nil { return nil }
      let (value, change) = observed.state.withLock { ($0.value, $0.next) }
      self.change = change
      return value
    }
  }

  /// The values from now on; any number of consumers have their own.
  public func makeAsyncIterator() -> Iterator { Iterator(observed: self) }

  /// Waits until the value is such that `holds` holds, and returns it.
  /// - Throws: `CancellationError`, whether or not it holds: who waits again and again ends with its task.
  @discardableResult
  public func wait(until holds: (Value) -> Bool) async throws -> Value {
    while true {
      try Task.checkCancellation()
      let (value, next) = state.withLock { ($0.value, $0.next) }
      if holds(value) { return value }
      _ = try await next.wait()
    }
  }
}
