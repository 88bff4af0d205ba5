/// What is wrong with a request, or with how its handler reads it. Thrown on by a handler, it becomes the response.
public enum RequestError: Error, Equatable, CustomStringConvertible {
  /// Not HTTP, or not the form a reader needs: 400.
  case malformed(String)
  /// The client stopped sending in the middle: 408.
  case timeout
  /// More than `limit` bytes of body: 413.
  case bodyTooLarge(limit: Int64)
  /// More header fields than the limit: 431.
  case headersTooLarge
  /// The handler's error: the body was read twice at once, or after the response.
  case bodyUnavailable
  /// The client left.
  case connectionLost

  /// The status it is answered with.
  public var status: Int {
    switch self {
    case .malformed, .connectionLost: 400
    case .timeout: 408
    case .bodyTooLarge: 413
    case .headersTooLarge: 431
    case .bodyUnavailable: 500
    }
  }

  /// One line for the client or the log.
  public var description: String {
    switch self {
    case .malformed(let what): "malformed request: \(what)"
    case .timeout: "the request was not sent in time"
    case .bodyTooLarge(let limit): "the request's body is larger than \(limit) bytes"
    case .headersTooLarge: "the request's header is too large"
    case .bodyUnavailable: "the request's body can be read once, by one task, before the response"
    case .connectionLost: "the client closed the connection"
    }
  }
}

/// Thrown by a handler, a response's stream or a WebSocket's closure to end the connection instead of answering on:
/// what a crashing or cut-off server looks like to its client.
public enum AbortConnection: Error {
  /// Close at once.
  case close
  /// Reset at once (RST): the client's reads and writes fail.
  case reset
}
