public import Support

/// What a handler answers.
public struct ServerResponse: Sendable {
  enum Content: Sendable {
    case bytes([UInt8])
    case stream(@Sendable (ResponseWriter) async throws -> Void)
    case webSocket(answersPings: Bool, @Sendable (WebSocket) async throws -> Void)
  }

  /// The status code.
  public var status: Int
  /// Header fields; `Content-Length`, `Transfer-Encoding` and `Connection` are added as needed.
  public var headers: HeaderFields
  var content: Content

  /// A response with a complete body.
  public init(status: Int = 200, headers: HeaderFields = [:], body: [UInt8] = []) {
    self.init(status: status, headers: headers, content: .bytes(body))
  }

  init(status: Int, headers: HeaderFields, content: Content) {
    self.status = status
    self.headers = headers
    self.content = content
  }

  /// A plain text.
  public static func text(_ text: String, status: Int = 200) -> ServerResponse {
    ServerResponse(status: status, headers: ["Content-Type": "text/plain; charset=utf-8"], body: Array(text.utf8))
  }

  /// A JSON document.
  public static func json(_ value: JSON, status: Int = 200) -> ServerResponse {
    json(text: value.text, status: status)
  }

  /// A JSON document that is encoded already, or broken on purpose.
  public static func json(text: String, status: Int = 200) -> ServerResponse {
    ServerResponse(status: status, headers: ["Content-Type": "application/json;charset=UTF-8"], body: Array(text.utf8))
  }

  /// Sends the client elsewhere.
  public static func redirect(to location: String, status: Int = 302) -> ServerResponse {
    ServerResponse(status: status, headers: ["Location": location])
  }

  /// A body that `write` produces while it is sent. It is sent in chunks unless `headers` has a `Content-Length`, which
  /// then must be true: if `write` ends early or throws, the connection is closed for the client to see it.
  public static func stream(
    status: Int = 200, headers: HeaderFields = [:], _ write: @escaping @Sendable (ResponseWriter) async throws -> Void
  ) -> ServerResponse {
    ServerResponse(status: status, headers: headers, content: .stream(write))
  }

  /// Server-sent events: `write` calls ``ResponseWriter/sendEvent(_:name:id:)`` until it is cancelled, since the client
  /// left, or returns.
  public static func events(_ write: @escaping @Sendable (ResponseWriter) async throws -> Void) -> ServerResponse {
    stream(headers: ["Content-Type": "text/event-stream", "Cache-Control": "no-cache"], write)
  }

  /// Accepts a WebSocket and runs `run` on it; when that returns, the socket is closed with code 1000 unless it was
  /// closed already. A request that asked for no WebSocket is answered with 426.
  /// - Parameters:
  ///   - headers: added to the 101 response.
  ///   - answersPings: false keeps silent on pings, as a frozen server would.
  public static func webSocket(
    headers: HeaderFields = [:], answersPings: Bool = true, _ run: @escaping @Sendable (WebSocket) async throws -> Void
  ) -> ServerResponse {
    ServerResponse(status: 101, headers: headers, content: .webSocket(answersPings: answersPings, run))
  }
}
