internal import NIOHTTP1

/// One HTTP request, with its body still on the way.
public struct ServerRequest: Sendable {
  /// The method, in capitals as sent: `GET`, `POST` …
  public let method: String
  /// Path and query as the client sent them.
  public let target: String
  /// The path as sent, without the query.
  public let rawPath: String
  /// The path with its percent encoding decoded. Split ``rawPath`` instead if an encoded `/` matters.
  public let path: String
  /// The query's items in order, decoded, `+` as a space; a name may come more than once.
  public let query: [(name: String, value: String)]
  /// The header fields.
  public let headers: HeaderFields
  /// The body; empty if there is none.
  public let body: ServerRequestBody
  /// Whether the client asks for a WebSocket. Any response may be given to it; `.webSocket` accepts.
  public let wantsWebSocket: Bool

  init(_ head: HTTPRequestHead, body: ServerRequestBody) {
    method = head.method.rawValue
    target = Self.originForm(head.uri)
    let question = target.firstIndex(of: "?")
    rawPath = String(target[..<(question ?? target.endIndex)])
    path = PercentEncoding.decode(rawPath)
    if let question {
      query = PercentEncoding.items(target[target.index(after: question)...])
    } else {
      query = []
    }
    headers = HeaderFields(head.headers)
    self.body = body
    wantsWebSocket =
      head.method == .GET && head.version.minor > 0 && headers.has(token: "websocket", in: "upgrade")
      && headers.has(token: "upgrade", in: "connection") && headers["sec-websocket-version"] == "13"
      && headers["sec-websocket-key"] != nil
  }

  /// The first value of the query item `name`.
  public func query(_ name: String) -> String? { query.first { $0.name == name }?.value }

  /// The items of a body of type `application/x-www-form-urlencoded`, decoded like the query's.
  /// - Throws: ``RequestError``, also for a body of another type or of more than `limit` bytes.
  public func form(upTo limit: Int = 1 << 20) async throws -> [(name: String, value: String)] {
    guard HeaderParameters(headers["content-type"] ?? "").value == "application/x-www-form-urlencoded" else {
      throw RequestError.malformed("not application/x-www-form-urlencoded")
    }
    return PercentEncoding.items(String(decoding: try await body.collect(upTo: limit), as: UTF8.self))
  }

  /// `http://host/path` (a proxy's form) as `/path`.
  private static func originForm(_ uri: String) -> String {
    guard !uri.hasPrefix("/"), let scheme = uri.firstRange(of: "://") else { return uri }
    let rest = uri[scheme.upperBound...]
    guard let end = rest.firstIndex(where: { $0 == "/" || $0 == "?" }) else { return "/" }
    return rest[end] == "/" ? String(rest[end...]) : "/" + rest[end...]
  }
}
