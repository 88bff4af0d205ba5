import Glibc

/// A value that threads of our own wait on: `Guarded` with a condition variable. For ``ServiceThread`` bodies only; waiting
/// on Swift's cooperative pool would block it.
public final class Signalled<Value>: @unchecked Sendable {
  // Sendable is proven by the mutex: `value` is touched only between lock and unlock.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var value: Value

  /// Protects `value`, which the caller gives up.
  public init(_ value: sending Value) {
    self.value = value
    pthread_mutex_init(lock, nil)
    // Deadlines have nothing to do with the time of day.
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(lock)
    condition.deallocate()
    lock.deallocate()
  }

  /// Changes the value and wakes whoever waits for it.
  public func change(_ body: (inout sending Value) -> Void) {
    pthread_mutex_lock(lock)
    body(&value)
    pthread_mutex_unlock(lock)
    pthread_cond_broadcast(condition)
  }

  /// Changes the value, and wakes whoever waits for it only if `body` says that there is a reason.
  public func changeQuietly(_ body: (inout sending Value) -> Bool) {
    pthread_mutex_lock(lock)
    let isReason = body(&value)
    pthread_mutex_unlock(lock)
    if isReason { pthread_cond_broadcast(condition) }
  }

  /// What `body` makes of the value as it is now.
  public func read<Result: Sendable>(_ body: (Value) -> Result) -> Result {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return body(value)
  }

  /// Blocks the thread until `isReady`, then returns what `then` takes out of the value.
  public func wait<Result>(
    until isReady: (Value) -> Bool, then: (inout sending Value) -> sending Result
  ) -> sending Result {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while !isReady(value) { pthread_cond_wait(condition, lock) }
    return then(&value)
  }

  /// Blocks the thread until the value's own `deadline`, which may change meanwhile and may be none, then returns what `then`
  /// takes out of the value.
  public func wait<Result>(
    until deadline: (Value) -> ContinuousClock.Instant?, then: (inout sending Value) -> sending Result
  ) -> sending Result {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while true {
      guard let instant = deadline(value) else {
        pthread_cond_wait(condition, lock)
        continue
      }
      let (seconds, attoseconds) = ContinuousClock.now.duration(to: instant).components
      if seconds < 0 || attoseconds <= 0 && seconds == 0 { return then(&value) }
      var end = timespec()
      clock_gettime(CLOCK_MONOTONIC, &end)
      // Bounded: two times of less than a second.
      let nanoseconds = end.tv_nsec + Int(attoseconds / 1_000_000_000) + 1
      end.tv_sec = end.tv_sec.addingSaturating(Int(clamping: seconds)).addingSaturating(nanoseconds / 1_000_000_000)
      end.tv_nsec = nanoseconds % 1_000_000_000
      pthread_cond_timedwait(condition, lock, &end)
    }
  }
}
