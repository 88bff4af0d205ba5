import Testing

extension RawClient {
  static let upgrade =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

  /// Sends a handshake and reads the response's header.
  func openWebSocket(_ path: String = "/ws") async throws {
    try await send("GET \(path) HTTP/1.1\r\nHost: x\r\n\(Self.upgrade)\r\n")
    #expect(try await read(through: "\r\n\r\n").hasPrefix("HTTP/1.1 101 "))
  }

  /// Sends one masked frame: `first` is the byte with FIN and opcode.
  func sendFrame(_ first: UInt8, _ payload: some Collection<UInt8>, isMasked: Bool = true) async throws {
    let mark: UInt8 = isMasked ? 0x80 : 0
    let length = payload.count
    let size: [UInt8] =
      switch length {
      case ..<126: [mark | UInt8(length)]
      case ..<65536: [mark | 126, UInt8(length >> 8), UInt8(length & 255)]
      default: [mark | 127] + (0..<8).map { UInt8(truncatingIfNeeded: length >> (56 - 8 * $0)) }
      }
    let key: [UInt8] = isMasked ? [7, 77, 177, 3] : []
    var body = Array(payload)
    if isMasked { for index in body.indices { body[index] ^= key[index & 3] } }
    try await send([first] + size + key + body)
  }

  /// Reads one frame: its first byte and its payload.
  func readFrame() async throws -> (first: UInt8, payload: [UInt8]) {
    let head = try await read(count: 2)
    guard head.count == 2 else { return (0, []) }
    var length = Int(head[1])
    if length >= 126 { length = try await read(count: length == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) } }
    return (head[0], try await read(count: length))
  }

  /// Reads a close frame and the end of the connection, and returns the code.
  func readClose() async throws -> Int {
    let frame = try await readFrame()
    #expect(frame.first == 0x88)
    _ = try await readToEnd()
    return frame.payload.prefix(2).reduce(0) { $0 << 8 | Int($1) }
  }
}
