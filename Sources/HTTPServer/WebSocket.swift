internal import NIOCore
internal import NIOWebSocket
internal import Support

/// The server's end of a WebSocket, for text messages. Pings and the closing handshake are answered by itself.
public final class WebSocket: Sendable {
  /// Thrown when a message is sent after the closing handshake has begun.
  public struct Closed: Error {}

  private struct State {
    var isClosing = false
    var closeCode: UInt16?
  }

  private let inbound: InboundReader
  private let outbound: OutboundWriter
  private let state = Guarded(State())

  init(inbound: InboundReader, outbound: OutboundWriter) {
    self.inbound = inbound
    self.outbound = outbound
  }

  /// The messages as they arrive, until the socket is closed by either side or lost. To be read by one task.
  public var messages: Messages { Messages(socket: self) }

  /// The code of the peer's close frame (1005 if it had none). Nil until one came; after ``messages`` has ended, it means
  /// that the connection was lost.
  public var closeCode: UInt16? { state.withLock { $0.closeCode } }

  /// Sends a text message; returns when the connection takes more.
  /// - Throws: ``Closed``, or when the client left.
  public func send(_ text: String) async throws { try await send(fragments: [text]) }

  /// Sends a text message in several frames.
  public func send(fragments: [String]) async throws {
    guard !(state.withLock { $0.isClosing }) else { throw Closed() }
    for (index, fragment) in fragments.enumerated() {
      let frame = WebSocketFrame(
        fin: index == fragments.count - 1, opcode: index == 0 ? .text : .continuation,
        data: ByteBuffer(string: fragment))
      try await outbound.write(.frame(frame))
    }
  }

  /// Sends a ping with a payload of at most 125 bytes.
  public func ping(_ payload: [UInt8] = []) async throws {
    try await outbound.write(.frame(WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer(bytes: payload))))
  }

  /// Begins the closing handshake; ``messages`` ends when the client has answered or its time is over. Closing twice does
  /// nothing.
  public func close(code: UInt16 = 1000, reason: String = "") async throws {
    let isFirst = state.withLock {
      let isFirst = !$0.isClosing
      $0.isClosing = true
      return isFirst
    }
    if isFirst { try await outbound.write(.close(code: code, reason: reason)) }
  }

  fileprivate func next() async throws -> String? {
    switch try await inbound.next() {
    case .message(.text(let text)): return text
    case .message(.closed(let code)):
      state.withLock {
        $0.isClosing = true
        $0.closeCode = code
      }
      return nil
    default: return nil
    }
  }

  /// The text messages of a ``WebSocket``.
  public struct Messages: AsyncSequence, Sendable {
    /// One message.
    public typealias Element = String
    fileprivate let socket: WebSocket

    /// Starts reading, or goes on where an earlier iterator stopped.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(socket: socket) }

    /// Reads the messages.
    public struct AsyncIterator: AsyncIteratorProtocol {
      fileprivate let socket: WebSocket

      /// The next message, nil when the socket is closed or lost.
      public mutating func next() async throws -> String? { try await socket.next() }
    }
  }
}
