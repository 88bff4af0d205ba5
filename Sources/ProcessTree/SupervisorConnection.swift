import CLinux
import Glibc
import Support
import SystemPackage

/// A conversation with a supervisor: lines on a Unix socket. An answer begins with its request's name; answers to requests
/// of one name come in the order of these.
final class SupervisorConnection: Sendable {
  /// A line, and the lock that came with it.
  struct Answer: Sendable {
    var text: Substring
    var lock: FileLock?
  }
  /// Nil: the supervisor has gone away.
  typealias Reply = Latch<Answer?>

  private struct State {
    var socket: Int32?
    var received: [UInt8] = []
    var lock: FileLock?
    var open: [(name: Substring, reply: Reply)]
  }

  /// The supervisor's first line, unasked.
  let greeting = Reply()
  /// Opens when the connection ends.
  let closed = Reply()
  /// Whoever listens on the socket.
  let peer: (pid: pid_t, uid: uid_t)
  private let state: Guarded<State>

  /// Connects to the socket in `folder`. Blocks, if the file system does.
  /// - Throws: ``FileError``; `ENOENT` or `ECONNREFUSED` if nobody listens there.
  init(folder: FilePath) throws {
    let path = folder.appending("socket")
    let socket = folder.withPlatformString { clinux_connect($0, "socket") }
    guard socket >= 0 else { throw FileError("connect to", path, Errno(rawValue: -socket)) }
    var peer = (pid: pid_t(), uid: uid_t())
    let code = clinux_peer(socket, &peer.pid, &peer.uid)
    self.peer = peer
    state = Guarded(State(socket: socket, open: [("job-supervisor", greeting)]))
    guard code == 0 else { throw FileError("identify", path, Errno(rawValue: code)) }
    try SocketWatch.shared.get().add(self, socket)
  }

  deinit { end() }

  /// Sends a request; the reply comes by itself.
  func ask(_ request: String) -> Reply {
    let reply = Reply()
    let line = Array("\(request)\n".utf8)
    let isSent = state.withLock { state -> Bool in
      guard let socket = state.socket else { return false }
      state.open.append((request.prefix { $0 != " " }, reply))
      // A line is far smaller than the socket's buffer.
      return send(socket, line, line.count, Int32(MSG_NOSIGNAL)) == line.count
    }
    if !isSent {
      end()
      reply.open(with: nil)
    }
    return reply
  }

  /// Reads what is there; on the watch's thread.
  func receive() {
    var done: [(Reply, Answer)] = []
    let isOpen = state.withLock { state -> Bool in
      guard let socket = state.socket else { return false }
      var (bytes, descriptor) = ([UInt8](repeating: 0, count: 16384), Int32(-1))
      let size = clinux_receive(socket, &bytes, bytes.count, &descriptor)
      if descriptor >= 0 { state.lock = try? FileLock(adopting: FileDescriptor(rawValue: descriptor)) }
      if size < 0 { return errno == EAGAIN || errno == EINTR }
      state.received += bytes.prefix(size)
      while let end = state.received.firstIndex(of: 0x0a) {
        let line = String(decoding: state.received[..<end], as: UTF8.self)
        state.received.removeSubrange(...end)
        let name = line.prefix { $0 != " " }
        guard let index = state.open.firstIndex(where: { $0.name == name || name == "error" }) else { continue }
        done.append(
          (state.open.remove(at: index).reply, Answer(text: line.dropFirst(name.count + 1), lock: state.lock)))
        state.lock = nil
      }
      return size > 0 && state.received.count < 1 << 16
    }
    for (reply, answer) in done { reply.open(with: answer) }
    if !isOpen { end() }
  }

  /// Closes the socket; whoever still waits for an answer gets none.
  func end() {
    let (socket, open) = state.withLock { state in
      defer { (state.socket, state.open) = (nil, []) }
      return (state.socket, state.open.map(\.reply))
    }
    if let socket { close(socket) }
    for reply in open + [closed] { reply.open(with: nil) }
  }
}

/// One thread that waits for what all supervisors say.
private final class SocketWatch: Sendable {
  static let shared = Result { try SocketWatch() }

  private struct Entry {
    weak var connection: SupervisorConnection?
  }

  private let epoll: Int32
  private let entries = Guarded<(next: UInt64, all: [UInt64: Entry])>((0, [:]))

  private init() throws {
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard epoll >= 0 else { throw ProcessError("cannot watch supervisors: \(Errno(rawValue: errno))") }
    try ServiceThread.start(name: "supervisors") { [self] in while true { serve() } }
  }

  /// The kernel forgets the socket when it is closed.
  func add(_ connection: SupervisorConnection, _ socket: Int32) throws {
    let id = entries.withLock { entries in
      entries.all = entries.all.filter { $1.connection != nil }
      entries.next += 1
      entries.all[entries.next] = Entry(connection: connection)
      return entries.next
    }
    var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data(u64: id))
    guard epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) == 0 else {
      throw ProcessError("cannot watch a supervisor: \(Errno(rawValue: errno))")
    }
  }

  private func serve() {
    var events = [epoll_event](repeating: epoll_event(), count: 64)
    let count = epoll_wait(epoll, &events, Int32(events.count), -1)
    for event in events.prefix(Int(max(count, 0))) {
      entries.withLock { $0.all[event.data.u64]?.connection }?.receive()
    }
  }
}
