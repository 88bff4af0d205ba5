import Glibc

/// A thread for calls that can block for ever: `stat`, `open` and `read` on a network file system whose server is gone.
///
/// One lane for each root that can hang on its own (the pool, each share, the cache): a dead root stops its own lane and
/// nothing else. Work runs in order, one piece at a time.
public final class IOLane: Sendable {
  private struct State {
    var work: [@Sendable () -> Void] = []
    var isClosed = false
  }

  private let name: String
  private let queue = Signalled(State())
  private let deadlines: Deadlines

  /// Starts the lane's thread, which ends when the lane is released.
  /// - Throws: `ServiceThread.CannotStart`.
  public init(name: String) throws {
    self.name = name
    deadlines = try Deadlines.shared.get()
    let queue = queue
    try ServiceThread.start(name: name) {
      while let work = queue.wait(
        until: { !$0.work.isEmpty || $0.isClosed },
        then: { $0.work.isEmpty ? nil : $0.work.removeFirst() })
      {
        work()
      }
    }
  }

  deinit { queue.change { $0.isClosed = true } }

  /// Runs `body` on the lane's thread and returns its result.
  ///
  /// A caller whose task is cancelled, or whose `limit` has passed, is freed at once; `body` still runs to its end. Calls of
  /// one actor run in the order in which it makes them.
  /// - Throws: what `body` throws, ``IOLane/TimedOut`` or `CancellationError`.
  public nonisolated(nonsending) func run<Value: Sendable>(
    limit: Duration = .seconds(60), _ body: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    let result = Latch<Result<Value, any Error>>()
    submit(limit: limit, orElse: { result.open(with: .failure($0)) }) { result.open(with: Result(catching: body)) }
    return try await result.wait().get()
  }

  /// Lets `body` run on the lane's thread after all that was handed over before, without waiting for it.
  public func submit(_ body: @escaping @Sendable () -> Void) { queue.change { $0.work.append(body) } }

  /// Lets `body` run as ``submit(_:)`` does, and calls `orElse` if it has not ended when `limit` has passed. That may be at
  /// the same time as it ends; `orElse` must not block.
  public func submit(
    limit: Duration, orElse: @escaping @Sendable (TimedOut) -> Void, _ body: @escaping @Sendable () -> Void
  ) {
    let (deadlines, timedOut) = (deadlines, TimedOut(lane: name, limit: limit))
    let deadline = deadlines.set(.now + limit) { orElse(timedOut) }
    submit {
      body()
      deadlines.revoke(deadline)
    }
  }

  /// The lane's thread did not get to an end in time.
  public struct TimedOut: Error, CustomStringConvertible {
    /// The lane, named after its root.
    public let lane: String
    /// How long the caller waited.
    public let limit: Duration

    /// One line for the log.
    public var description: String { "\(lane): no answer from the file system within \(limit)" }
  }
}
