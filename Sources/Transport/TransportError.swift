/// Why a request got no answer or a connection ended.
public struct TransportError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kinds that callers decide by.
  public enum Code: Sendable, Hashable {
    /// The URL or a header cannot be sent.
    case badURL
    /// The host's or proxy's name has no address.
    case resolve
    /// Nobody accepts connections at the address.
    case connect
    /// The TLS handshake failed, or the certificate is not trusted.
    case tls
    /// One of the limits (connect, inactivity, total) has passed.
    case timedOut
    /// The peer closed or reset the connection before the answer was complete.
    case closed
    /// The answer or message is larger than the limit.
    case responseTooLarge
    /// A file to send cannot be read, or changed while it was sent.
    case file
    /// The peer's bytes are not what the protocol says.
    case protocolViolation
    /// Messages arrive faster than they are taken.
    case inboxOverflow
    /// The client was shut down.
    case shutDown
    /// The system or library has no more memory, descriptors or threads.
    case system
  }

  /// The kind.
  public var code: Code
  /// One line that names the host and port, or the file, and the problem.
  public var message: String

  /// Makes an error of `code` that says `message`.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}
