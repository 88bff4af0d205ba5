import Glibc

/// A value that several threads share, protected by a `pthread_mutex_t`.
///
/// Used instead of `Synchronization.Mutex`: on Linux that type is a futex inside the uninstrumented standard library, and
/// ThreadSanitizer then reports every protected access as a race.
///
/// Never create a continuation, await, or call foreign code inside ``withLock(_:)``: take what is needed out of the value
/// and act after the lock is released.
public final class Guarded<Value>: @unchecked Sendable {
  // Sendable is proven by the mutex: `value` is touched only between lock and unlock, and what crosses the border of
  // `withLock` is `sending`.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var value: Value

  /// Protects `value`, which the caller gives up.
  public init(_ value: sending Value) {
    self.value = value
    pthread_mutex_init(lock, nil)
  }

  deinit {
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  /// Runs `body` with exclusive access to the value and returns its result.
  /// - Throws: what `body` throws.
  public func withLock<Result, Failure: Error>(
    _ body: (inout sending Value) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return try body(&value)
  }
}
