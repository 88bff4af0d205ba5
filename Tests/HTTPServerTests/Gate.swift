/// An event that tests await instead of sleeping: opens once, at any time, for any number of waiters.
final class Gate: Sendable {
  private let stream: AsyncStream<Never>
  private let continuation: AsyncStream<Never>.Continuation

  init() { (stream, continuation) = AsyncStream.makeStream() }

  func open() { continuation.finish() }

  /// Returns when the gate is open or the task is cancelled; only one task may wait.
  func wait() async { for await _ in stream {} }
}

/// Waits until the task is cancelled.
func untilCancelled() async { await Gate().wait() }
