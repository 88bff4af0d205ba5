internal import NIOCore
internal import NIOHTTP1
internal import Support

/// The life of one connection: request, handler, response, in turn, until one side closes or it becomes a WebSocket.
struct Connection: Sendable {
  let channel: ConnectionChannel
  let server: ServerCore
  /// Over the limit of connections: the answer is 503.
  let isSurplus: Bool

  /// Serves the connection to its end; the handler is cancelled when the client leaves.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await channel.channel.closeFuture.get() }
      group.addTask {
        try? await channel.executeThenClose { inbound, outbound in
          let reader = InboundReader(inbound)
          do {
            try await serve(reader, outbound)
          } catch AbortConnection.reset {
            try await outbound.write(.reset)
          }
          // The pipeline closes; everything it was given before is sent by then.
          while try await reader.next() != nil {}
        }
      }
      await group.next()
      group.cancelAll()
    }
  }

  private func serve(_ reader: InboundReader, _ outbound: OutboundWriter) async throws {
    while let part = try await reader.next() {
      switch part {
      case .head(let head):
        guard try await answer(head, reader, outbound) else { return }
      case .failure(let error):
        _ = try await send(.text("\(error)\n", status: error.status), to: nil, keepAlive: false, outbound)
        return try await outbound.write(.finish(lingering: true))
      case .body, .end, .message:
        break
      }
    }
  }

  /// - Returns: whether another request may follow.
  private func answer(_ head: HTTPRequestHead, _ reader: InboundReader, _ outbound: OutboundWriter) async throws -> Bool
  {
    let body = BodySource(head: head, inbound: reader, outbound: outbound, limit: server.limits.bodyBytes)
    let request = ServerRequest(head, body: ServerRequestBody(source: body))
    let response = try await response(to: request)
    let drained = server.limits.drainedBytes
    if case .webSocket(let answersPings, let run) = response.content {
      guard request.wantsWebSocket, try await body.drain(upTo: drained) else {
        _ = try await send(.text("a WebSocket is served here\n", status: 426), to: head, keepAlive: false, outbound)
        try await outbound.write(.finish(lingering: true))
        return false
      }
      try await upgrade(request, response.headers, answersPings, reader, outbound, run)
      return false
    }
    // The parser is of no use after a request for an upgrade: whether accepted or not, it expects another protocol.
    let asksUpgrade = head.method == .CONNECT || request.headers["upgrade"] != nil
    let keepAlive =
      head.isKeepAlive && !asksUpgrade && !isSurplus && body.canDrain(upTo: drained)
      && !response.headers.has(token: "close", in: "connection")
    // The response goes first: a client may wait for it before it sends the rest of its request.
    let isKept = try await send(response, to: head, keepAlive: keepAlive, outbound)
    let isComplete = try await body.drain(upTo: drained)
    if !isKept || !isComplete { try await outbound.write(.finish(lingering: !isComplete)) }
    return isKept && isComplete
  }

  private func response(to request: ServerRequest) async throws -> ServerResponse {
    if isSurplus { return .text("too many connections\n", status: 503) }
    do {
      if let length = request.headers["content-length"].flatMap(Int64.init), length > server.limits.bodyBytes {
        throw RequestError.bodyTooLarge(limit: server.limits.bodyBytes)
      }
      return try await server.handler(request)
    } catch let abort as AbortConnection {
      throw abort
    } catch let error as RequestError {
      return .text("\(error)\n", status: error.status)
    } catch {
      // Once the client has left, errors only tell that.
      if !Task.isCancelled { server.onError(error) }
      return .text("internal server error\n", status: 500)
    }
  }

  /// - Returns: whether the client was told that the connection stays.
  private func send(
    _ response: ServerResponse, to request: HTTPRequestHead?, keepAlive: Bool, _ outbound: OutboundWriter
  ) async throws -> Bool {
    let isHead = request?.method == .HEAD
    let isOld = request?.version.minor == 0
    let status = HTTPResponseStatus(statusCode: response.status)
    var headers = response.headers
    if case .bytes(let bytes) = response.content, status.mayHaveResponseBody, headers["content-length"] == nil {
      headers["Content-Length"] = "\(bytes.count)"
    }
    var isFramed = !isOld || headers["content-length"] != nil || !status.mayHaveResponseBody
    if isHead, case .stream = response.content { isFramed = headers["content-length"] != nil }
    let keepAlive = keepAlive && isFramed
    headers["Connection"] = keepAlive ? (isOld ? "keep-alive" : nil) : "close"
    let version: HTTPVersion = isOld ? .http1_0 : .http1_1
    let head = Outbound.head(HTTPResponseHead(version: version, status: status, headers: headers.storage))
    guard !isHead, status.mayHaveResponseBody else {
      try await outbound.write(contentsOf: [head, .end])
      return keepAlive
    }
    let written: Int64
    switch response.content {
    case .bytes(let bytes):
      try await outbound.write(contentsOf: [head, .body(ByteBuffer(bytes: bytes)), .end])
      written = Int64(bytes.count)
    case .stream(let write):
      let writer = ResponseWriter(outbound: outbound)
      try await outbound.write(head)
      try await write(writer)
      try await outbound.write(.end)
      written = writer.count.withLock { $0 }
    case .webSocket: return false
    }
    // A client that was promised another length would take the next response for the rest of this one.
    let promised = headers["content-length"].flatMap(Int64.init)
    return keepAlive && (promised == nil || promised == written)
  }

  private func upgrade(
    _ request: ServerRequest, _ extra: HeaderFields, _ answersPings: Bool, _ reader: InboundReader,
    _ outbound: OutboundWriter, _ run: @Sendable (WebSocket) async throws -> Void
  ) async throws {
    var headers = extra
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Accept"] = WebSocketAccept.value(forKey: request.headers["sec-websocket-key"] ?? "")
    try await outbound.write(.upgrade(headers.storage, answersPings: answersPings))
    let socket = WebSocket(inbound: reader, outbound: outbound)
    do {
      try await run(socket)
      try await socket.close()
    } catch let abort as AbortConnection {
      throw abort
    } catch {
      if !Task.isCancelled { server.onError(error) }
      try await socket.close(code: 1011)
    }
  }
}
