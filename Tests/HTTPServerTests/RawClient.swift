import NIOCore
import NIOPosix

/// A TCP connection whose every byte the test decides and sees.
final class RawClient {
  private var iterator: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
  private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  /// Received and not yet taken by a `read`.
  private(set) var pending: [UInt8] = []
  private(set) var isAtEnd = false

  private init(
    _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>, _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  ) {
    iterator = inbound.makeAsyncIterator()
    self.outbound = outbound
  }

  /// Connects to a port of this machine, runs `body`, closes.
  @discardableResult
  static func connect<Result: Sendable>(
    to port: Int, isolation: isolated (any Actor)? = #isolation,
    _ body: (RawClient) async throws -> sending Result
  ) async throws -> Result {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    return try await channel.executeThenClose { inbound, outbound in
      try await body(RawClient(inbound, outbound))
    }
  }

  func send(_ text: String) async throws { try await send(Array(text.utf8)) }

  /// A server that has closed meanwhile is no failure: what it said before is there to be read.
  func send(_ bytes: [UInt8]) async throws {
    do { try await outbound.write(ByteBuffer(bytes: bytes)) } catch ChannelError.ioOnClosedChannel {}
  }

  /// Everything up to and including `mark`, or to the end of the connection.
  func read(through mark: String) async throws -> String {
    let mark = Array(mark.utf8)
    while true {
      if let found = pending.firstRange(of: mark) {
        defer { pending.removeSubrange(..<found.upperBound) }
        return String(decoding: pending[..<found.upperBound], as: UTF8.self)
      }
      guard try await more() else { return String(decoding: take(pending.count), as: UTF8.self) }
    }
  }

  func read(count: Int) async throws -> [UInt8] {
    while pending.count < count, try await more() {}
    return take(min(count, pending.count))
  }

  /// Everything up to the end of the connection; throws if that is a reset.
  func readToEnd() async throws -> String {
    while try await more() {}
    return String(decoding: take(pending.count), as: UTF8.self)
  }

  /// One response with a `Content-Length`.
  func response() async throws -> (head: String, body: String) {
    let head = try await read(through: "\r\n\r\n")
    let length = head.lowercased().firstRange(of: "content-length: ").flatMap { range in
      Int(head.lowercased()[range.upperBound...].prefix { $0.isNumber })
    }
    return (head, String(decoding: try await read(count: length ?? 0), as: UTF8.self))
  }

  private func take(_ count: Int) -> [UInt8] {
    defer { pending.removeFirst(count) }
    return Array(pending[..<count])
  }

  private func more() async throws -> Bool {
    guard !isAtEnd, let bytes = try await iterator.next() else {
      isAtEnd = true
      return false
    }
    pending += bytes.readableBytesView
    return true
  }
}
