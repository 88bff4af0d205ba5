import CLinux
import Glibc

/// A named thread of our own, for loops that block by nature (a C library's event loop, file I/O) and therefore have no
/// place on Swift's cooperative pool.
public enum ServiceThread {
  /// Starts a detached thread that runs `body` to its end.
  /// - Parameters:
  ///   - name: shown by `top -H` and debuggers; the kernel keeps its first 15 bytes.
  ///   - niceness: added to the thread's nice value; 0 leaves it alone. A thread that gives way is also scheduled as one
  ///     that computes for long: it interrupts nobody when it wakes up.
  /// - Throws: ``ServiceThread/CannotStart`` when the system has no thread left to give.
  public static func start(name: String, niceness: Int32 = 0, _ body: @escaping @Sendable () -> Void) throws {
    let start = Unmanaged.passRetained(Start(name: name, niceness: niceness, body: body))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        clinux_set_thread_name(start.name)
        if start.niceness != 0 { clinux_give_way(start.niceness) }
        start.body()
        return nil
      }, start.toOpaque())
    guard code == 0 else {
      start.release()
      throw CannotStart(name: name, code: code)
    }
    pthread_detach(thread)
  }

  /// `pthread_create` failed.
  public struct CannotStart: Error, CustomStringConvertible {
    /// The thread's name.
    public let name: String
    /// What `pthread_create` returned, an `errno` value.
    public let code: Int32

    /// One line for the log.
    public var description: String { "cannot start thread \(name): \(String(cString: strerror(code)))" }
  }

  private final class Start: Sendable {
    let name: String
    let niceness: Int32
    let body: @Sendable () -> Void

    init(name: String, niceness: Int32, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.niceness = niceness
      self.body = body
    }
  }
}
