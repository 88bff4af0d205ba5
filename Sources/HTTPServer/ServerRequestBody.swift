internal import NIOCore
internal import NIOHTTP1
internal import Support

/// A request's body as chunks of bytes, in the order and about the sizes they arrive. The client is read from only as
/// fast as the chunks are taken. It can be read once, until the handler returns.
public struct ServerRequestBody: AsyncSequence, Sendable {
  /// One chunk, never empty.
  public typealias Element = [UInt8]

  let source: BodySource

  /// Starts reading, or goes on where an earlier iterator stopped.
  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source: source) }

  /// The whole body.
  /// - Throws: ``RequestError/bodyTooLarge(limit:)`` beyond `limit` bytes, and what reading throws.
  public func collect(upTo limit: Int = 1 << 20) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    for try await chunk in self {
      bytes += chunk
      if bytes.count > limit { throw RequestError.bodyTooLarge(limit: Int64(limit)) }
    }
    return bytes
  }

  /// Reads the chunks.
  public struct AsyncIterator: AsyncIteratorProtocol {
    let source: BodySource

    /// The next chunk, nil at the body's end.
    /// - Throws: ``RequestError``.
    public mutating func next() async throws -> [UInt8]? {
      guard let chunk = try await source.next() else { return nil }
      return Array(chunk.readableBytesView)
    }
  }
}

/// The reading end of one request's body, shared by the handler and the connection that drains what is left.
final class BodySource: Sendable {
  private struct State {
    var allowed: Int64
    /// The client waits for `100 Continue` before it sends the body.
    var awaitsContinue: Bool
    var isAtEnd = false
    /// The rest cannot be told from what follows.
    var isBroken = false
    var isClosed = false
  }

  private let state: Guarded<State>
  private let inbound: InboundReader
  private let outbound: OutboundWriter
  private let limit: Int64
  private let declared: Int64

  init(head: HTTPRequestHead, inbound: InboundReader, outbound: OutboundWriter, limit: Int64) {
    self.inbound = inbound
    self.outbound = outbound
    self.limit = limit
    let expects = head.version.minor > 0 && HeaderFields(head.headers).has(token: "100-continue", in: "expect")
    state = Guarded(State(allowed: limit, awaitsContinue: expects))
    declared = head.headers.first(name: "content-length").flatMap(Int64.init) ?? 0
  }

  func next() async throws -> ByteBuffer? {
    guard !(state.withLock { $0.isClosed }) else { throw RequestError.bodyUnavailable }
    return try await read()
  }

  /// Whether ``drain(upTo:)`` with the same limit can succeed, as far as is known.
  func canDrain(upTo limit: Int64) -> Bool {
    state.withLock { $0.isAtEnd || (!$0.isBroken && !$0.awaitsContinue && declared <= limit) }
  }

  /// Takes the body away from the handler and throws away what is left of it, up to `limit` bytes.
  /// - Returns: whether its end was reached, so that the next request can follow.
  func drain(upTo limit: Int64) async throws -> Bool {
    state.withLock {
      $0.isClosed = true
      $0.allowed = min($0.allowed, limit)
    }
    guard canDrain(upTo: limit) else { return false }
    do {
      while try await read() != nil {}
      return true
    } catch is RequestError {
      return false
    }
  }

  private func read() async throws -> ByteBuffer? {
    let (isAtEnd, awaitsContinue, isSpent) = state.withLock {
      let awaitsContinue = $0.awaitsContinue
      $0.awaitsContinue = false
      return ($0.isAtEnd, awaitsContinue, $0.allowed < 0)
    }
    if isAtEnd { return nil }
    if isSpent { throw RequestError.bodyTooLarge(limit: limit) }
    if awaitsContinue { try await outbound.write(.head(HTTPResponseHead(version: .http1_1, status: .continue))) }
    switch try await inbound.next() {
    case .body(let chunk):
      let fits = state.withLock {
        $0.allowed -= Int64(chunk.readableBytes)
        return $0.allowed >= 0
      }
      guard fits else { throw RequestError.bodyTooLarge(limit: limit) }
      return chunk
    case .end:
      state.withLock { $0.isAtEnd = true }
      return nil
    case .failure(let error):
      state.withLock { $0.isBroken = true }
      throw error
    case .head, .message, nil:
      state.withLock { $0.isBroken = true }
      throw RequestError.connectionLost
    }
  }
}
