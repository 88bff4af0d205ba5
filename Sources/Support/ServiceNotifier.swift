import Glibc

/// Tells the service manager how this process does, by the protocol of systemd's `sd_notify(3)`: lines of `NAME=value` in
/// one datagram to the socket that `$NOTIFY_SOCKET` names, a path, or a name of Linux's abstract namespace after an `@`.
public struct ServiceNotifier: Sendable {
  /// What can be said.
  public enum Message: Sendable, Hashable {
    /// Started, or done with what ``reloading`` began.
    case ready
    /// Busy with itself; ``ready`` follows.
    case reloading
    /// On its way to the end.
    case stopping
    /// Alive: is expected again within ``ServiceNotifier/watchdogInterval``.
    case watchdog
    /// What it is at, for people; line breaks become blanks.
    case status(String)

    fileprivate var lines: String {
      switch self {
      case .ready: "READY=1"
      case .reloading: "RELOADING=1\nMONOTONIC_USEC=\(ServiceNotifier.monotonicMicroseconds)"
      case .stopping: "STOPPING=1"
      case .watchdog: "WATCHDOG=1"
      case .status(let text): "STATUS=\(text.split(whereSeparator: \.isNewline).joined(separator: " "))"
      }
    }
  }

  /// Environment variables that are meant for this process, and not for those that it starts.
  public static let variables: Set<String> = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]

  /// How often a datagram is tried that the socket's full queue has no room for, and the pause between.
  private static let attempts = 20
  private static let pause = Duration.milliseconds(100)

  /// The service manager ends this process when it has not heard ``Message/watchdog`` for so long; nil if it does not
  /// watch this process.
  public let watchdogInterval: Duration?
  private let address: sockaddr_un
  private let addressLength: socklen_t

  /// What the environment names; nil if there is no service manager to tell, or at an address that is no Unix socket.
  /// - Parameter process: the id that a watchdog may be meant for; this process's own if it is nil.
  public init?(environment: [String: String], process: Int32? = nil) {
    guard let name = environment["NOTIFY_SOCKET"], name.hasPrefix("/") || name.hasPrefix("@") else { return nil }
    var bytes = Array(name.utf8)
    if name.hasPrefix("@") { bytes[0] = 0 } else { bytes.append(0) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard bytes.count > 1, bytes.count <= MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    self.address = address
    addressLength = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path).map { $0 + bytes.count } ?? 0)
    let isWatched = environment["WATCHDOG_PID"].map { Int32($0) == process ?? getpid() } ?? true
    let limit = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
    watchdogInterval = isWatched && limit > 0 ? .microseconds(limit) : nil
  }

  /// Sends messages in one datagram.
  ///
  /// A service manager whose queue is full is waited for, some seconds at most; one that is gone is not.
  /// - Returns: whether the datagram was taken.
  @discardableResult
  public func send(_ messages: Message...) async -> Bool {
    let text = messages.map(\.lines).joined(separator: "\n")
    for _ in 0..<ServiceNotifier.attempts {
      switch transmit(Array(text.utf8)) {
      case 0: return true
      case EAGAIN, ENOBUFS: do { try await Task.sleep(for: ServiceNotifier.pause) } catch { return false }
      default: return false
      }
    }
    return false
  }

  /// Returns 0, or an `errno` value; never waits.
  private func transmit(_ bytes: [UInt8]) -> Int32 {
    let handle = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard handle >= 0 else { return errno }
    defer { close(handle) }
    let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
    let sent = withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(handle, bytes, bytes.count, flags, $0, addressLength)
      }
    }
    return sent == bytes.count ? 0 : errno
  }

  private static var monotonicMicroseconds: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
  }
}
