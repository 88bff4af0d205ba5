internal import NIOCore
internal import NIOHTTP1
internal import NIOWebSocket
internal import Support

/// What a connection's pipeline hands to its task.
enum Inbound: Sendable {
  case head(HTTPRequestHead)
  case body(ByteBuffer)
  case end
  case failure(RequestError)
  case message(Message)

  enum Message: Sendable {
    case text(String)
    case closed(UInt16)
  }
}

/// What a connection's task hands to its pipeline.
enum Outbound: Sendable {
  case head(HTTPResponseHead)
  case body(ByteBuffer)
  case end
  /// Close when all is sent; if the client may still be sending, take its bytes for a while first, or the reset that
  /// unread bytes cause would destroy the response on its way.
  case finish(lingering: Bool)
  case reset
  case upgrade(HTTPHeaders, answersPings: Bool)
  case frame(WebSocketFrame)
  case close(code: UInt16, reason: String)
}

typealias ConnectionChannel = NIOAsyncChannel<Inbound, Outbound>
typealias OutboundWriter = NIOAsyncChannelOutboundWriter<Outbound>

/// The one reader of a connection, lent to the handler through a request's body or a WebSocket.
final class InboundReader: Sendable {
  // Sendable is proven by the loan: the iterator leaves `slot` while it is used, so one task at a time has it.
  private struct Lent: @unchecked Sendable { var iterator: NIOAsyncChannelInboundStream<Inbound>.AsyncIterator }

  private let slot: Guarded<Lent?>

  init(_ stream: NIOAsyncChannelInboundStream<Inbound>) {
    slot = Guarded(Lent(iterator: stream.makeAsyncIterator()))
  }

  /// The next part, nil when the connection is closed.
  /// - Throws: ``RequestError/bodyUnavailable`` if another task is reading.
  func next() async throws -> Inbound? {
    guard var lent = slot.withLock({ $0.take() }) else { throw RequestError.bodyUnavailable }
    defer { slot.withLock { [lent] in $0 = lent } }
    return try await lent.iterator.next()
  }
}
