internal import NIOCore
internal import Support

/// The sending end of a streamed response.
public struct ResponseWriter: Sendable {
  let outbound: OutboundWriter
  /// Bytes written so far.
  let count = Guarded<Int64>(0)

  /// Sends bytes; returns when the connection takes more.
  /// - Throws: when the client left or the server stops.
  public func write(_ bytes: some Sequence<UInt8>) async throws {
    let buffer = ByteBuffer(bytes: bytes)
    guard buffer.readableBytes > 0 else { return }
    count.withLock { $0 += Int64(buffer.readableBytes) }
    try await outbound.write(.body(buffer))
  }

  /// Sends text as UTF-8.
  public func write(_ text: String) async throws { try await write(text.utf8) }

  /// Sends one server-sent event.
  /// - Parameters:
  ///   - data: the payload; each of its lines becomes a `data:` line.
  ///   - name: the event's type, `message` for clients if nil.
  ///   - id: what a client that reconnects names in `Last-Event-ID`.
  public func sendEvent(_ data: String, name: String? = nil, id: String? = nil) async throws {
    var text = ""
    if let name { text += "event: \(name)\n" }
    if let id { text += "id: \(id)\n" }
    for line in data.split(separator: "\n", omittingEmptySubsequences: false) { text += "data: \(line)\n" }
    try await write(text + "\n")
  }
}
