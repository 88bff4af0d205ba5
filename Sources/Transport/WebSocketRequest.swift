/// What to connect to, and the limits of the connection.
public struct WebSocketRequest: Sendable {
  /// A `ws`, `wss`, `http` or `https` URL; path and query are sent exactly as written.
  public var url: String
  /// Headers of the upgrade request besides those of the WebSocket protocol.
  public var headers: [HTTPHeader]
  /// Silence of the peer after which it is asked for a sign of life. Whole seconds, at least one.
  public var pingAfter: Duration
  /// Silence of the peer after which the connection counts as dead. Whole seconds, more than ``pingAfter``.
  public var hangUpAfter: Duration
  /// Largest message in bytes that is accepted; a larger one closes the connection with 1009.
  public var maxMessageBytes: Int
  /// Messages that may wait to be taken; one more closes the connection, as do waiting messages that are together
  /// larger than four times ``maxMessageBytes``.
  public var inboxLimit: Int
  /// From the call to the end of the upgrade, name resolution included.
  public var connectTimeout: Duration
  /// How long a close may take, unsent messages included, before the connection is cut.
  public var closeTimeout: Duration
  /// A file of PEM certificates to trust besides the system's.
  public var caFile: String?

  /// Makes a request.
  public init(
    _ url: String, headers: [HTTPHeader] = [], pingAfter: Duration = .seconds(60),
    hangUpAfter: Duration = .seconds(600), maxMessageBytes: Int = 10 << 20, inboxLimit: Int = 1024,
    connectTimeout: Duration = .seconds(300), closeTimeout: Duration = .seconds(5), caFile: String? = nil
  ) {
    self.url = url
    self.headers = headers
    self.pingAfter = pingAfter
    self.hangUpAfter = hangUpAfter
    self.maxMessageBytes = maxMessageBytes
    self.inboxLimit = inboxLimit
    self.connectTimeout = connectTimeout
    self.closeTimeout = closeTimeout
    self.caFile = caFile
  }
}
