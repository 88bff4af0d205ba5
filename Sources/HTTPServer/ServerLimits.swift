/// What a ``WebServer`` grants its clients.
public struct ServerLimits: Sendable {
  /// Bytes of a request's header fields; more is answered with 431.
  public var headerBytes = 64 << 10
  /// Bytes of a request's body; more is answered with 413.
  public var bodyBytes: Int64 = 1 << 30
  /// Bytes of an unread request body that are read and thrown away to keep the connection; with more left, it is closed.
  public var drainedBytes: Int64 = 256 << 10
  /// Bytes of one WebSocket message; more closes the socket with code 1009.
  public var messageBytes = 16 << 20
  /// Connections at a time; further ones are answered with 503 and closed.
  public var connections = 1024
  /// How long a client may take to send the next part of a request, to begin the next one, or to accept any output.
  public var idle = Duration.seconds(60)
  /// How long a closing connection waits for its client: for the answer to a WebSocket close frame, and for the end of a
  /// request that was refused before it was complete.
  public var closing = Duration.seconds(2)

  /// The defaults.
  public init() {}
}
