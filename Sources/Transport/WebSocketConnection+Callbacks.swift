import CWebSockets
import Glibc
import Support

/// What libwebsockets reports. All of it happens on the service thread, inside `lws_service` or inside a call of the
/// connection's own, and is answered at once: not 0 ends the connection.
extension WebSocketConnection {
  func handle(
    _ reason: lws_callback_reasons, _ wsi: OpaquePointer, _ pointer: UnsafeMutableRawPointer?, _ length: Int
  ) -> Int32 {
    let input = UnsafeRawBufferPointer(start: pointer, count: pointer == nil ? 0 : length)
    switch reason {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return appendHeaders(wsi, pointer, length)
    case LWS_CALLBACK_CLIENT_HTTP_REDIRECT: return -1
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP: return checkAnswer(wsi)
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
      self.wsi = wsi
      phase = .open
      lastReceived = .now
      opened.open(with: .success(()))
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG: lastReceived = .now
    case LWS_CALLBACK_CLIENT_RECEIVE: return receive(wsi, input)
    case LWS_CALLBACK_CLIENT_WRITEABLE: return write(wsi)
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
      let code = input.count >= 2 ? UInt16(input[0]) << 8 | UInt16(input[1]) : nil
      expectedClose = WebSocketClose(code: code, reason: String(decoding: input.dropFirst(2), as: UTF8.self))
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
      finish(WebSocketClose(error: connectError(String(decoding: input.prefix { $0 != 0 }, as: UTF8.self))))
    case LWS_CALLBACK_CLIENT_CLOSED: finish(expectedClose ?? WebSocketClose(error: lossError()))
    case LWS_CALLBACK_TIMER:
      // The time to close politely is over.
      finish(expectedClose ?? WebSocketClose(error: lossError()))
      cwebsockets_kill(wsi)
    case LWS_CALLBACK_WSI_DESTROY:
      // The one sure end: some failures are announced by nothing else.
      finish(expectedClose ?? WebSocketClose(error: lossError()))
      self.wsi = nil
      loop.unregister(self)
    default: break
    }
    return 0
  }

  // MARK: Upgrade

  private func appendHeaders(_ wsi: OpaquePointer, _ position: UnsafeMutableRawPointer?, _ room: Int) -> Int32 {
    guard let position = position?.assumingMemoryBound(to: UnsafeMutablePointer<UInt8>?.self),
      let end = position.pointee?.advanced(by: room)
    else { return -1 }
    for header in request.headers {
      let value = Array(header.value.utf8)
      if lws_add_http_header_by_name(wsi, header.name + ":", value, Int32(value.count), position, end) != 0 {
        finish(WebSocketClose(error: TransportError(.badURL, "\(endpoint.description): too many or too long headers")))
        return -1
      }
    }
    return 0
  }

  private func checkAnswer(_ wsi: OpaquePointer) -> Int32 {
    let status = Int(lws_http_client_http_response(wsi))
    guard status != 101 else { return 0 }
    let tokens: [(String, lws_token_indexes)] = [
      ("Location", WSI_TOKEN_HTTP_LOCATION), ("Retry-After", WSI_TOKEN_HTTP_RETRY_AFTER),
      ("Content-Type", WSI_TOKEN_HTTP_CONTENT_TYPE), ("WWW-Authenticate", WSI_TOKEN_HTTP_WWW_AUTHENTICATE),
      ("Date", WSI_TOKEN_HTTP_DATE),
    ]
    refusal = WebSocketUpgradeRefused(
      host: endpoint.description, status: status,
      headers: tokens.compactMap { name, token in
        let length = Int(lws_hdr_total_length(wsi, token))
        guard length > 0 else { return nil }
        var value = [CChar](repeating: 0, count: length + 1)
        guard lws_hdr_copy(wsi, &value, Int32(value.count), token) >= 0 else { return nil }
        return HTTPHeader(name, String(decoding: value.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
      })
    return -1
  }

  // MARK: Messages

  private func receive(_ wsi: OpaquePointer, _ part: UnsafeRawBufferPointer) -> Int32 {
    lastReceived = .now
    lws_validity_confirmed(wsi)
    guard phase == .open else { return 0 }
    // As the peer has said it: it can be any number, and negative if it needs 64 bits.
    let rest = lws_remaining_packet_payload(wsi)
    let room = request.maxMessageBytes - incoming.count - part.count
    guard rest >= 0, room >= rest else {
      return fail(1009, .responseTooLarge, "a message is larger than \(request.maxMessageBytes) bytes")
    }
    incoming.append(contentsOf: part)
    guard rest == 0, lws_is_final_fragment(wsi) != 0 else { return 0 }
    let message = incoming
    incoming = []
    if lws_frame_is_binary(wsi) != 0 { return 0 }
    guard let text = String(validating: message, as: UTF8.self) else {
      return fail(1007, .protocolViolation, "a text message is not UTF-8")
    }
    guard inbox.add(text) else {
      return fail(1008, .inboxOverflow, "messages arrive faster than they are taken")
    }
    return 0
  }

  private func fail(_ code: UInt16, _ kind: TransportError.Code, _ problem: String) -> Int32 {
    beginClose(code, "", error: TransportError(kind, "\(endpoint.description): \(problem)"))
    incoming = []
    // Sent when the socket can be written to: to end the connection here, in the middle of a frame, makes libwebsockets
    // 4.1 go on with memory that it has freed.
    return 0
  }

  private func write(_ wsi: OpaquePointer) -> Int32 {
    if !outgoing.isEmpty {
      let message = outgoing.removeFirst()
      let padding = cwebsockets_padding()
      var bytes = message.bytes
      let written = bytes.withUnsafeMutableBufferPointer { buffer in
        buffer.baseAddress.map { lws_write(wsi, $0 + padding, buffer.count - padding, LWS_WRITE_TEXT) } ?? -1
      }
      guard written >= message.bytes.count - padding else {
        message.sent.open(with: .failure(lossError()))
        return -1
      }
      message.sent.open(with: .success(()))
      if !outgoing.isEmpty || closing != nil { lws_callback_on_writable(wsi) }
      return 0
    }
    return sendClose(wsi)
  }

  private func sendClose(_ wsi: OpaquePointer) -> Int32 {
    // Once is enough: to end the callback with an error again would not wait for the peer's close frame.
    guard let frame = closing else { return 0 }
    closing = nil
    var reason = Array(frame.reason.utf8)
    lws_close_reason(wsi, lws_close_status(rawValue: UInt32(frame.code)), &reason, reason.count)
    return -1
  }

  // MARK: Errors

  private func lossError() -> TransportError {
    if phase == .open, lastReceived + request.hangUpAfter <= .now {
      return TransportError(.timedOut, "\(endpoint.description): no sign of life for \(request.hangUpAfter)")
    }
    return TransportError(.closed, "\(endpoint.description): the WebSocket connection was lost")
  }

  private func connectError(_ text: String) -> TransportError {
    // What was logged last was logged about this connection: the report follows at once.
    let log = ServiceLoop.takeLog()
    if endpoint.isSecure, let reason = log.lazy.compactMap(Self.reason(inLogLine:)).last {
      return TransportError(.tls, "\(endpoint.description): TLS: \(reason)")
    }
    let kind: TransportError.Code =
      if endpoint.isSecure && (text.contains("SSL") || text.contains("cert")) {
        .tls
      } else if text.hasPrefix("HS:") {
        .protocolViolation
      } else if text == "Unable to connect" {
        .connect
      } else {
        .closed
      }
    return TransportError(kind, "\(endpoint.description): \(text.isEmpty ? "connection lost in the upgrade" : text)")
  }

  /// "certificate has expired" of "… SSL error: certificate has expired (preverify_ok=0;err=10;depth=0)".
  private static func reason(inLogLine line: String) -> Substring? {
    guard let start = line.firstRange(of: "SSL error: ")?.upperBound else { return nil }
    return line[start...].split(separator: " (").first
  }
}
