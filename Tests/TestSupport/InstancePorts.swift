import Glibc
import Support

/// The ten ports of one worker instance, kept from every other run of tests on this machine while this value lives. They
/// lie below those that the system gives away.
package final class InstancePorts: Sendable {
  /// No instance is free, or no socket can be had.
  package struct Unavailable: Error {}

  private static let next = Guarded(Int.random(in: 100..<1000))
  /// Bound to the last of the ports, which nobody uses: that is the reservation.
  private let descriptor: Int32
  /// The worker's instance number.
  package let instance: Int

  /// The first of the ports.
  package var first: Int { 20002 + 10 * instance }

  /// Reserves the ports of the next instance that is free.
  package init() throws(Unavailable) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw Unavailable() }
    for _ in 0..<900 {
      let instance = Self.next.withLock { next in
        next = next < 999 ? next + 1 : 100
        return next
      }
      let isFree = withLoopback(20002 + 10 * instance + 9) { bind(descriptor, $0, $1) == 0 }
      if isFree {
        self.descriptor = descriptor
        self.instance = instance
        return
      }
    }
    close(descriptor)
    throw Unavailable()
  }

  deinit { close(descriptor) }
}
