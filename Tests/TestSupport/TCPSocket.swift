import Glibc
import Support

/// A blocking TCP socket on the loopback interface, for one thread; ``shutdown()`` may come from any other.
package final class TCPSocket: Sendable {
  /// A socket call failed.
  package struct Failure: Error, CustomStringConvertible {
    /// The call.
    package let call: String
    /// Its `errno`.
    package let code: Int32
    /// One line.
    package var description: String { "\(call): \(String(cString: strerror(code)))" }
  }

  // -1 once closed.
  private let descriptor: Guarded<Int32>

  /// Takes over an open descriptor.
  package init(_ descriptor: Int32) {
    self.descriptor = Guarded(descriptor)
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Connects to `port` on 127.0.0.1.
  package convenience init(port: Int) throws(Failure) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw Failure(call: "socket", code: errno) }
    let result = withLoopback(port) { Glibc.connect(descriptor, $0, $1) }
    guard result == 0 else {
      let code = errno
      Glibc.close(descriptor)
      throw Failure(call: "connect", code: code)
    }
    self.init(descriptor)
  }

  deinit { close() }

  /// For `poll`; -1 once closed.
  package var rawValue: Int32 { descriptor.withLock { $0 } }

  /// Waits for bytes and returns them; empty at the end.
  package func read(upTo count: Int = 64 << 10) throws(Failure) -> [UInt8] {
    var result = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
      repeat { result = recv(rawValue, buffer.baseAddress, count, 0) } while result < 0 && errno == EINTR
      used = max(result, 0)
    }
    guard result >= 0 else { throw Failure(call: "recv", code: errno) }
    return bytes
  }

  /// Writes all of `bytes`.
  package func write(_ bytes: [UInt8]) throws(Failure) {
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        send(rawValue, buffer.baseAddress.map { $0 + offset }, buffer.count - offset, Int32(MSG_NOSIGNAL))
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw Failure(call: "send", code: errno) }
      offset += count
    }
  }

  /// Lets time pass, to be slow on purpose; returns early if the connection ends.
  package func pause(_ time: Duration) { wait(Int32(time / .milliseconds(1))) }

  /// Returns when the connection ends, without reading from it.
  package func waitForEnd() { wait(-1) }

  private func wait(_ milliseconds: Int32) {
    var entry = pollfd(fd: rawValue, events: 0x2000 /* POLLRDHUP */, revents: 0)
    poll(&entry, 1, milliseconds)
  }

  /// Ends both directions: a blocked read or write returns. Nothing happens if it is closed.
  package func shutdown() { descriptor.withLock { if $0 >= 0 { _ = Glibc.shutdown($0, Int32(SHUT_RDWR)) } } }

  /// Closes it as usual (FIN).
  package func close() {
    descriptor.withLock { descriptor in
      if descriptor >= 0 { Glibc.close(descriptor) }
      descriptor = -1
    }
  }

  /// Takes as little as possible from the peer from now on that nobody reads.
  package func closeWindow() {
    var size: Int32 = 1
    setsockopt(rawValue, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Closes it with RST: what was not delivered yet is lost, and the peer reads an error.
  package func reset() {
    var option = linger(l_onoff: 1, l_linger: 0)
    setsockopt(rawValue, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    close()
  }
}

/// A listener on 127.0.0.1 that hands each connection to a thread of its own.
package final class TCPListener: Sendable {
  /// The port.
  package let port: Int
  private let descriptor: TCPSocket

  /// Listens and calls `accept` on a new thread for each connection, until ``stop()``.
  /// - Parameters:
  ///   - port: 0 for any free one.
  ///   - backlog: connections that the kernel keeps until they are accepted.
  package init(
    port: Int = 0, backlog: Int32 = 256, name: String = "listener", accept: @escaping @Sendable (TCPSocket) -> Void
  ) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard listener >= 0 else { throw TCPSocket.Failure(call: "socket", code: errno) }
    descriptor = TCPSocket(listener)
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    guard withLoopback(port, { bind(listener, $0, $1) }) == 0 else {
      throw TCPSocket.Failure(call: "bind", code: errno)
    }
    guard listen(listener, backlog) == 0 else { throw TCPSocket.Failure(call: "listen", code: errno) }
    self.port = descriptor.localPort
    try ServiceThread.start(name: name) { [descriptor] in
      while true {
        let connection = Glibc.accept(descriptor.rawValue, nil, nil)
        if connection >= 0 {
          _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
          let socket = TCPSocket(connection)
          // Without a thread to serve it, the connection closes.
          try? ServiceThread.start(name: name) {
            // OpenSSL writes to closed sockets without MSG_NOSIGNAL.
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGPIPE)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            accept(socket)
          }
        } else if errno != EINTR && errno != ECONNABORTED {
          return descriptor.close()
        }
      }
    }
  }

  /// Refuses further connections; those accepted live on.
  package func stop() { descriptor.shutdown() }
}

/// A port on 127.0.0.1 that nobody listens at, and nobody else gets while this value lives.
package final class ReservedPort: Sendable {
  private let socket: TCPSocket

  /// Takes `port` as soon as its listener has gone.
  package init(_ port: Int) throws(TCPSocket.Failure) {
    socket = TCPSocket(Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
    var on: Int32 = 1
    setsockopt(socket.rawValue, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    for attempt in 1...1000 {
      if withLoopback(port, { bind(socket.rawValue, $0, $1) }) == 0 { return }
      guard errno == EADDRINUSE, attempt < 1000 else { throw TCPSocket.Failure(call: "bind", code: errno) }
      sched_yield()
    }
  }

  /// Gives it back.
  package func release() { socket.close() }
}

/// A port on 127.0.0.1 where connection attempts are neither accepted nor refused.
package final class SilentListener: Sendable {
  /// The port.
  package let port: Int
  private let sockets: [TCPSocket]

  /// Listens, and fills the queue of connections that nobody accepts: the kernel drops further attempts.
  package init() throws {
    func makeSocket() -> TCPSocket {
      TCPSocket(socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0))
    }
    let listener = makeSocket()
    guard withLoopback(0, { bind(listener.rawValue, $0, $1) }) == 0, listen(listener.rawValue, 0) == 0 else {
      throw TCPSocket.Failure(call: "listen", code: errno)
    }
    let port = listener.localPort
    self.port = port
    let fillers = (0..<4).map { _ in makeSocket() }
    for filler in fillers { _ = withLoopback(port) { connect(filler.rawValue, $0, $1) } }
    sockets = [listener] + fillers
  }
}

extension TCPSocket {
  /// The port that it is bound to.
  fileprivate var localPort: Int {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(rawValue, $0, &length) }
    }
    return Int(UInt16(bigEndian: address.sin_port))
  }
}

func withLoopback<Result>(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = UInt16(port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
  }
}
