import Glibc
import Support

/// Threads that optimise images, and give way to all others of the host.
///
/// As many images as were handed over wait in their order.
public final class ImageWorkers: Sendable {
  private struct Work: Sendable {
    let content: [UInt8]
    let level: PNGLevel?
    let outcome: Latch<Result<ImageOptimizer.Compressed, PNGDefect>>
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

  /// Compresses the content of a file when its turn has come.
  ///
  /// A caller whose task is cancelled is freed at once, and an image that waits is forgotten.
  /// - Parameter level: nil for one that the backlog decides on, when its turn has come.
  /// - Returns: `.kept(.busy)`, at once, when too many wait.
  /// - Throws: ``PNGDefect`` or `CancellationError`.
  public func compress(_ content: [UInt8], level: PNGLevel? = nil) async throws -> ImageOptimizer.Compressed {
    let outcome = Latch<Result<ImageOptimizer.Compressed, PNGDefect>>()
    queue.change { state in
      if state.waiting.count < capacity {
        state.waiting.append(Work(content: content, level: level, outcome: outcome))
      } else {
        outcome.open(with: .success(.kept(.busy)))
      }
    }
    do {
      return try await outcome.wait().get()
    } catch let cancellation as CancellationError {
      queue.change { $0.waiting.removeAll { $0.outcome === outcome } }
      throw cancellation
    }
  }

  private static func work(through queue: Signalled<State>, of threads: Int) {
    // Its memory is given back when there is nothing to do.
    var optimizer: ImageOptimizer?
    while let (work, waiting) = next(in: queue) {
      let level = work.level ?? .forBacklog(waiting, threads: threads)
      let current = optimizer ?? ImageOptimizer()
      let result = Result { () throws(PNGDefect) in try current.compress(work.content, level: level) }
      queue.change { $0.running -= 1 }
      work.outcome.open(with: result)
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
