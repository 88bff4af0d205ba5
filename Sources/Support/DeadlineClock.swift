/// The continuous clock, with sleeps that leave nothing behind when they are cancelled.
///
/// A cancelled sleep of `ContinuousClock` or `Task` keeps its timer and 600 bytes until it would have been over. Most sleeps
/// here are limits of hours that are cancelled within seconds, some twenty in each job.
public struct DeadlineClock: Clock {
  /// Makes one; they are all the same.
  public init() {}

  /// The current instant.
  public var now: ContinuousClock.Instant { .now }

  /// The shortest time between two instants.
  public var minimumResolution: Duration { ContinuousClock().minimumResolution }

  /// Waits until `deadline`.
  /// - Parameter tolerance: ignored.
  /// - Throws: `CancellationError`, at once, when the task is cancelled; `ServiceThread.CannotStart`.
  public func sleep(until deadline: ContinuousClock.Instant, tolerance: Duration? = nil) async throws {
    try Task.checkCancellation()
    let deadlines = try Deadlines.shared.get()
    let isOver = Latch<Void>()
    let id = deadlines.set(deadline) { isOver.open(with: ()) }
    defer { deadlines.revoke(id) }
    try await isOver.wait()
  }
}
