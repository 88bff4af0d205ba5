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
    pthread_cond_init(condition, nil)
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
}
