/// How a connection ended.
public struct WebSocketClose: Sendable, Hashable {
  /// The close code that the peer sent, or that was sent to it; `nil` if the connection ended without one.
  public var code: UInt16?
  /// The text that goes with the code.
  public var reason: String
  /// What went wrong; `nil` after a regular close by either side.
  public var error: TransportError?

  /// Makes a description of an end.
  public init(code: UInt16? = nil, reason: String = "", error: TransportError? = nil) {
    self.code = code
    self.reason = reason
    self.error = error
  }
}
