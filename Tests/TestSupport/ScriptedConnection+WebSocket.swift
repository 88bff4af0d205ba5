import CTLS
import Support

/// The server's side of RFC 6455, with everything that a proper server would never send.
extension ScriptedConnection {
  /// Kinds of frames.
  package enum Opcode: UInt8, Sendable {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10
  }

  /// A frame as received, unmasked.
  package struct Frame: Sendable {
    /// Its kind.
    package var opcode: Opcode
    /// Whether it ends its message.
    package var isFinal: Bool
    /// Its payload.
    package var payload: [UInt8]

    /// The payload as text.
    package var text: String { String(decoding: payload, as: UTF8.self) }
    /// A close frame's code.
    package var closeCode: Int? { payload.count >= 2 ? Int(payload[0]) << 8 | Int(payload[1]) : nil }
  }

  /// Reads the upgrade request and accepts it.
  @discardableResult
  package func acceptWebSocket() throws -> Request {
    let request = try readRequest()
    guard let key = request.header("sec-websocket-key") else { throw Ended() }
    let digest = Digest.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)
    var answer = [UInt8](repeating: 0, count: 32)
    let length = EVP_EncodeBlock(&answer, digest, Int32(digest.count))
    let accept = String(decoding: answer[..<Int(length)], as: UTF8.self)
    try write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Accept: \(accept)\r\n\r\n")
    return request
  }

  /// Sends a frame.
  package func send(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true) throws {
    var frame = [opcode.rawValue | (isFinal ? 0x80 : 0)]
    switch payload.count {
    case ..<126: frame.append(UInt8(payload.count))
    case ..<65536: frame += [126, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]
    default: frame += [127] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
    }
    try write(frame + payload)
  }

  /// Sends a text message in one frame.
  package func send(_ text: String) throws { try send(.text, Array(text.utf8)) }

  /// Sends a close frame.
  package func sendClose(_ code: UInt16, _ reason: String = "") throws {
    try send(.close, [UInt8(code >> 8), UInt8(code & 0xff)] + Array(reason.utf8))
  }

  /// Waits for a frame.
  package func receiveFrame() throws -> Frame {
    let head = try read(2)
    guard let opcode = Opcode(rawValue: head[0] & 0xf), head[1] & 0x80 != 0 else { throw Ended() }
    var length = Int(head[1] & 0x7f)
    if length >= 126 { length = try read(length == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) } }
    let mask = try read(4)
    var payload = try read(length)
    for index in payload.indices { payload[index] ^= mask[index & 3] }
    return Frame(opcode: opcode, isFinal: head[0] & 0x80 != 0, payload: payload)
  }

  /// Waits for a message, answering pings and a close as a proper server does.
  /// - Throws: ``Ended`` once the connection is closing.
  package func receiveMessage() throws -> String {
    var payload: [UInt8] = []
    while true {
      let frame = try receiveFrame()
      switch frame.opcode {
      case .ping: try send(.pong, frame.payload)
      case .pong: continue
      case .close:
        try send(.close, Array(frame.payload.prefix(2)))
        throw Ended()
      case .text, .binary, .continuation:
        payload += frame.payload
        if frame.isFinal { return String(decoding: payload, as: UTF8.self) }
      }
    }
  }
}
