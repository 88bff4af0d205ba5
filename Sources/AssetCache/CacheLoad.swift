import Support

/// How busy the cache service is: what `GET /info` says of its queue.
struct CacheLoad: Sendable, Hashable {
  /// Whether anybody works on the queue.
  var hasWorkers: Bool
  /// Requests that wait for a worker.
  var waiting: Int64

  init(_ info: JSON) {
    func number(_ name: String) -> Int64 { info[name]?.scalar.flatMap { Int64($0) } ?? 0 }
    hasWorkers = number("active_workers") != 0 || number("inactive_workers") != 0
    waiting = number("inactive_jobs")
  }

  /// Above ``Settings/Cache/maximumInactiveJobs``, jobs that have been taken are still set up with so many more requests
  /// waiting.
  private static let reserve = 40

  /// What keeps the service from bringing anything in time; nil if nothing does.
  /// - Parameters:
  ///   - limit: requests that may wait before a job is taken; a negative number for any.
  ///   - isInSetup: whether the job has been taken.
  func problem(limit: Int, isInSetup: Bool) -> String? {
    guard hasWorkers else { return "No workers active in the cache service" }
    guard limit >= 0, waiting > limit + (isInSetup ? CacheLoad.reserve : 0) else { return nil }
    // The number of those who wait for a slot, for both.
    return "Cache service queue already full (\(limit))"
  }
}
