import Glibc
import Support
public import SystemPackage

/// Threads that optimise images, and give way to all others of the host.
///
/// As many images as were handed over wait in their order; from a file system that hangs none comes back, so whoever waits
/// should do so for a limited time and then take the image as it is.
public final class ImageWorkers: Sendable {
  private struct Work: Sendable {
    let level: PNGLevel?
    let cancelled: Latch<Void>
    /// Does it on a worker's thread, and returns what lets the caller know.
    let perform: @Sendable (ImageOptimizer, PNGLevel) -> () -> Void
  }

  private struct State {
    var waiting: [Work] = []
    /// How many are being worked on.
    var running = 0
    var isClosed = false
  }

  private let queue = Signalled(State())
  private let capacity: Int

  /// Starts the threads, which end when this is released and what waits is done.
  /// - Parameters:
  ///   - threads: how many; by default as many as the host has processors, but at most four.
  ///   - capacity: how many images can wait.
  /// - Throws: `ServiceThread.CannotStart`.
  public init(threads: Int = ImageWorkers.defaultThreads, capacity: Int = 1000) throws {
    self.capacity = capacity
    let queue = queue
    for number in 0..<threads {
      try ServiceThread.start(name: "images-\(number)", niceness: 10) { ImageWorkers.work(through: queue, of: threads) }
    }
  }

  /// As many as the host has processors, at most four.
  public static var defaultThreads: Int { min(max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1), 4) }

  deinit { queue.change { $0.isClosed = true } }

  /// How many images are waiting or being worked on.
  public var backlog: Int { queue.read { $0.waiting.count + $0.running } }

  /// Optimises a file as ``ImageOptimizer/optimize(_:level:isUnwanted:)`` does, when its turn has come.
  ///
  /// A caller whose task is cancelled is freed at once: an image that waits is forgotten, one that is worked on is not
  /// written, unless that has begun.
  /// - Parameter level: nil for one that the backlog decides on, when its turn has come.
  /// - Returns: `.kept(.busy)`, at once, when too many wait.
  /// - Throws: ``PNGError`` or `CancellationError`.
  public func optimize(_ file: FilePath, level: PNGLevel? = nil) async throws -> ImageOptimizer.Outcome {
    try await perform(level, busy: .kept(.busy)) { (optimizer, level, isUnwanted) throws(PNGError) in
      try optimizer.optimize(file, level: level, isUnwanted: isUnwanted)
    }
  }

  /// Compresses the content of a file, which stays as it is, when its turn has come.
  ///
  /// A caller whose task is cancelled is freed at once.
  /// - Parameter level: nil for one that the backlog decides on, when its turn has come.
  /// - Returns: `.kept(.busy)`, at once, when too many wait.
  /// - Throws: ``PNGDefect`` or `CancellationError`.
  public func compress(_ content: [UInt8], level: PNGLevel? = nil) async throws -> ImageOptimizer.Compressed {
    try await perform(level, busy: .kept(.busy)) { (optimizer, level, _) throws(PNGDefect) in
      try optimizer.compress(content, level: level)
    }
  }

  private func perform<Value: Sendable, Failure: Error>(
    _ level: PNGLevel?, busy: Value,
    _ body: @escaping @Sendable (ImageOptimizer, PNGLevel, _ isUnwanted: () -> Bool) throws(Failure) -> Value
  ) async throws -> Value {
    let outcome = Latch<Result<Value, Failure>>()
    let cancelled = Latch<Void>()
    let work = Work(level: level, cancelled: cancelled) { optimizer, level in
      let result = Result { () throws(Failure) in try body(optimizer, level) { cancelled.value != nil } }
      return { outcome.open(with: result) }
    }
    queue.change { state in
      if state.waiting.count < capacity {
        state.waiting.append(work)
      } else {
        outcome.open(with: .success(busy))
      }
    }
    return try await withTaskCancellationHandler {
      try await outcome.wait().get()
    } onCancel: {
      cancelled.open(with: ())
      queue.change { $0.waiting.removeAll { $0.cancelled === cancelled } }
    }
  }

  private static func work(through queue: Signalled<State>, of threads: Int) {
    // Its memory is given back when there is nothing to do.
    var optimizer: ImageOptimizer?
    while let (work, waiting) = next(in: queue) {
      let level = work.level ?? .forBacklog(waiting, threads: threads)
      let current = optimizer ?? ImageOptimizer()
      let deliver = work.perform(current, level)
      queue.change { $0.running -= 1 }
      deliver()
      optimizer = queue.read { $0.waiting.isEmpty } ? nil : current
    }
  }

  /// The next piece of work and how many wait behind it, when there is one; nil when there will be none.
  private static func next(in queue: Signalled<State>) -> (Work, waiting: Int)? {
    queue.wait(until: { !$0.waiting.isEmpty || $0.isClosed }) { state in
      guard !state.waiting.isEmpty else { return nil }
      state.running += 1
      return (state.waiting.removeFirst(), state.waiting.count)
    }
  }
}
