import Glibc
import Support

/// One connection through a ``FaultProxy``. ``run()`` has a thread of its own, on which everything else happens but
/// ``tell(_:)``.
final class ProxiedConnection: Sendable {
  enum Order: Sendable {
    case freeze(Bool)
    case cut
    case reset
  }

  /// What the bytes from the client are part of.
  private enum Phase {
    case head
    case body(left: Int)
    /// A request that the server does not get.
    case swallow(left: Int, answer: [UInt8])
    /// Messages, looked at one by one.
    case webSocket
    /// Something that this proxy does not understand: passed on as it is.
    case tunnel
  }

  /// What the thread owns.
  private struct Flow {
    var phase = Phase.head
    var buffer: [UInt8] = []
    /// What the server has said over a WebSocket and is no whole frame yet.
    var answerBuffer: [UInt8] = []
    /// The fault of the answer that is under way, and how much of it has been passed on.
    var fault = FaultProxy.Fault.pass
    var answered = 0
    var mayUpgrade = false
    var isFrozen = false
    var isHeld = false
  }

  private struct Ended: Error {}

  private unowned let proxy: FaultProxy
  private let client: TCPSocket
  private let server: TCPSocket
  private let orders = Guarded<[Order]>([])
  private let wakeUp: (read: Int32, write: Int32)

  init(_ proxy: FaultProxy, client: TCPSocket, server: TCPSocket) throws {
    self.proxy = proxy
    self.client = client
    self.server = server
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw TCPSocket.Failure(call: "pipe", code: errno) }
    wakeUp = (ends[0], ends[1])
  }

  deinit {
    Glibc.close(wakeUp.read)
    Glibc.close(wakeUp.write)
  }

  func tell(_ order: Order) {
    orders.withLock { $0.append(order) }
    var byte: UInt8 = 0
    _ = Glibc.write(wakeUp.write, &byte, 1)
  }

  func run() {
    var flow = Flow()
    do {
      while true {
        let ready = try wait(flow.isFrozen || flow.isHeld ? [] : [client.rawValue, server.rawValue])
        try obey(&flow)
        if flow.isFrozen || flow.isHeld { continue }
        if ready.contains(server.rawValue) { try passOnAnswer(&flow) }
        if ready.contains(client.rawValue) { try passOnRequest(&flow) }
      }
    } catch {}
    client.close()
    server.close()
  }

  private func wait(_ sockets: [Int32], _ limit: Duration? = nil) throws -> [Int32] {
    var entries = ([wakeUp.read] + sockets).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    let milliseconds = limit.map { Int32($0 / .milliseconds(1)) } ?? -1
    guard poll(&entries, nfds_t(entries.count), milliseconds) >= 0 || errno == EINTR else { throw Ended() }
    if entries[0].revents != 0 {
      var byte: UInt8 = 0
      _ = Glibc.read(wakeUp.read, &byte, 1)
    }
    return entries.dropFirst().filter { $0.revents != 0 }.map(\.fd)
  }

  private func obey(_ flow: inout Flow) throws {
    let orders = orders.withLock { orders in
      defer { orders = [] }
      return orders
    }
    for order in orders {
      switch order {
      case .freeze(let isFrozen):
        flow.isFrozen = isFrozen
        if isFrozen { client.closeWindow() }
      case .cut: throw Ended()
      case .reset:
        client.reset()
        throw Ended()
      }
    }
  }

  // MARK: From the server

  private func passOnAnswer(_ flow: inout Flow) throws {
    var bytes = try server.read()
    if bytes.isEmpty { throw Ended() }
    if case .webSocket = flow.phase, case .pass = flow.fault { return try passOnMessages(bytes, &flow) }
    var messages: [UInt8] = []
    if flow.mayUpgrade, flow.answered == 0 {
      flow.mayUpgrade = false
      if bytes.starts(with: Array("HTTP/1.1 101".utf8)) {
        flow.phase = .webSocket
        if case .pass = flow.fault, let end = bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound {
          messages = Array(bytes[end...])
          bytes = Array(bytes[..<end])
        }
      }
    }
    let start = flow.answered
    flow.answered += bytes.count
    switch flow.fault {
    case .reset(let limit) where flow.answered >= limit:
      try client.write(Array(bytes.prefix(limit - start)))
      client.reset()
      throw Ended()
    case .cut(let limit) where flow.answered >= limit:
      try client.write(Array(bytes.prefix(limit - start)))
      throw Ended()
    case .corrupt(let limit, let count):
      for index in bytes.indices where (limit..<limit + count).contains(start + index) { bytes[index] ^= 0xff }
    default: break
    }
    try client.write(bytes)
    if !messages.isEmpty { try passOnMessages(messages, &flow) }
  }

  private func passOnMessages(_ bytes: [UInt8], _ flow: inout Flow) throws {
    flow.answerBuffer += bytes
    while let frame = ProxiedFrame(takenFrom: &flow.answerBuffer) { try passOn(frame, from: .server, to: client) }
  }

  private func passOn(_ frame: ProxiedFrame, from side: MessageRule.Side, to socket: TCPSocket) throws {
    switch frame.text.flatMap({ proxy.fault(for: $0, from: side) }) {
    case nil: try socket.write(frame.bytes)
    case .drop: break
    case .replace(let text): try socket.write(frame.saying(text))
    case .duplicate: try socket.write(frame.bytes + frame.bytes)
    case .cut: throw Ended()
    case .reset:
      client.reset()
      throw Ended()
    }
  }

  // MARK: From the client

  private func passOnRequest(_ flow: inout Flow) throws {
    let bytes = try client.read()
    if bytes.isEmpty { throw Ended() }
    flow.buffer += bytes
    while !flow.buffer.isEmpty {
      switch flow.phase {
      case .tunnel:
        try server.write(take(flow.buffer.count, &flow))
      case .webSocket:
        guard let frame = ProxiedFrame(takenFrom: &flow.buffer) else { return }
        try passOn(frame, from: .client, to: server)
      case .body(let left):
        let part = take(min(left, flow.buffer.count), &flow)
        try server.write(part)
        flow.phase = part.count == left ? .head : .body(left: left - part.count)
      case .swallow(let left, let answer):
        let count = take(min(left, flow.buffer.count), &flow).count
        try swallow(left - count, answer, &flow)
      case .head:
        guard let end = flow.buffer.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound,
          try passOn(headOf: end, &flow), !flow.isHeld
        else { return }
      }
    }
  }

  private func take(_ count: Int, _ flow: inout Flow) -> [UInt8] {
    let bytes = Array(flow.buffer[..<count])
    flow.buffer.removeFirst(count)
    return bytes
  }

  private func swallow(_ left: Int, _ answer: [UInt8], _ flow: inout Flow) throws {
    flow.phase = left == 0 ? .head : .swallow(left: left, answer: answer)
    if left == 0 { try client.write(answer) }
  }

  /// Passes the head of a request on, which is the buffer's first `end` bytes; false if more has to be known before.
  private func passOn(headOf end: Int, _ flow: inout Flow) throws -> Bool {
    let lines = String(decoding: flow.buffer[..<end], as: UTF8.self).split(separator: "\r\n")
    let words = (lines.first ?? "").split(separator: " ")
    guard words.count == 3 else {
      flow.phase = .tunnel
      try server.write(take(end, &flow))
      return true
    }
    func header(_ name: String) -> String? {
      lines.dropFirst().first { $0.lowercased().hasPrefix(name + ":") }
        .map { $0.dropFirst(name.count + 1).trimmingPrefix { $0 == " " }.lowercased() }
    }
    let length = header("content-length").flatMap { Int($0) } ?? 0
    if proxy.needsBody(of: words[0], words[1]), flow.buffer.count < end + length { return false }
    flow.fault = proxy.fault(for: words[0], words[1], flow.buffer[end...].prefix(length))
    flow.answered = 0
    flow.mayUpgrade = header("upgrade") != nil
    if case .duplicate = flow.fault {
      sendTwin(Array(flow.buffer.prefix(end + length)), hasBody: words[0] != "HEAD")
      flow.fault = .pass
    }
    let head = take(end, &flow)
    switch flow.fault {
    case .hold:
      flow.isHeld = true
      return true
    case .refuse:
      client.reset()
      throw Ended()
    case .answer(let answer):
      try swallow(length, answer, &flow)
      return true
    case .delay(let delay): try pause(delay, &flow)
    default: break
    }
    // Chunked bodies are passed on without a look into them, and so is what follows.
    flow.phase = header("transfer-encoding") != nil ? .tunnel : length == 0 ? .head : .body(left: length)
    try server.write(head)
    return true
  }

  /// Sends a request over a connection of its own, and waits for the answer.
  private func sendTwin(_ request: [UInt8], hasBody: Bool) {
    guard let twin = try? TCPSocket(port: proxy.target), (try? twin.write(request)) != nil else { return }
    var answer: [UInt8] = []
    while let bytes = try? twin.read(), !bytes.isEmpty {
      answer += bytes
      guard let end = answer.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound else { continue }
      let head = String(decoding: answer[..<end], as: UTF8.self).lowercased()
      let length = head.split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
        .flatMap { Int($0.dropFirst(15).drop { $0 == " " }) }
      if !hasBody || answer.count >= end + (length ?? 0) { break }
    }
    twin.close()
  }

  private func pause(_ delay: Duration, _ flow: inout Flow) throws {
    let end = ContinuousClock.now + delay
    while true {
      let left = ContinuousClock.now.duration(to: end)
      if left <= .zero { return }
      _ = try wait([], left + .milliseconds(1))
      try obey(&flow)
    }
  }
}
