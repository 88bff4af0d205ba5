import CWebSockets
import Glibc
import Support

/// An open WebSocket, isolated to the process's WebSocket thread. Take its ``messages``, ``send(_:)`` to it, and
/// ``close(code:reason:)`` it.
///
/// Only text messages are passed on; binary ones are dropped.
public actor WebSocketConnection {
  /// A connection only moves forward through these.
  enum Phase {
    /// Before and during the upgrade. Can become anything below.
    case connecting
    /// Can become `closing` or `closed`.
    case open
    /// This side has decided to end it. Can become `closed`.
    case closing
    /// The end, and its reason is known.
    case closed
  }

  /// What the peer sends.
  public nonisolated let messages: WebSocketMessages
  /// The thread of libwebsockets.
  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  /// What libwebsockets keeps instead of a pointer to the actor; never used twice.
  nonisolated let id: UInt
  let request: WebSocketRequest
  let endpoint: Endpoint
  let loop: ServiceLoop
  let inbox: WebSocketInbox
  let opened = Latch<Result<Void, any Error>>()
  let end = Latch<WebSocketClose>()
  private let policy: IdlePolicy

  var phase = Phase.connecting
  /// Not `nil` exactly as long as libwebsockets knows the connection and an attempt has been made.
  var wsi: OpaquePointer?
  var outgoing: [OutgoingMessage] = []
  /// The parts received of a message that is not complete yet.
  var incoming: [UInt8] = []
  /// The close frame that this side has yet to send.
  var closing: (code: UInt16, reason: String)?
  /// What is known about the end before libwebsockets announces it.
  var expectedClose: WebSocketClose?
  var refusal: WebSocketUpgradeRefused?
  /// When anything was received last: a message or the answer to a ping.
  public internal(set) var lastReceived = ContinuousClock.now

  init(_ request: WebSocketRequest, _ endpoint: Endpoint, _ loop: ServiceLoop) {
    self.request = request
    self.endpoint = endpoint
    self.loop = loop
    id = ServiceLoop.newConnectionID()
    inbox = WebSocketInbox(countLimit: request.inboxLimit, byteLimit: request.maxMessageBytes * 4)
    messages = WebSocketMessages(inbox: inbox)
    policy = IdlePolicy(pingAfter: request.pingAfter, hangUpAfter: request.hangUpAfter)
  }

  /// Tries `route`, once in the connection's life.
  func open(_ route: WebSocketClient.Route) async throws {
    try Task.checkCancellation()
    var info = lws_client_connect_info()
    info.port = Int32(endpoint.port)
    if endpoint.isSecure { info.ssl_connection = Int32(LCCSCF_USE_SSL.rawValue) }
    info.ssl_connection |= Int32(LCCSCF_HTTP_NO_FOLLOW_REDIRECT.rawValue)
    info.ietf_version_or_minus_one = -1
    info.opaque_user_data = UnsafeMutableRawPointer(bitPattern: id)
    info.retry_and_idle_policy = UnsafePointer(policy.pointer)
    loop.register(self)
    do {
      wsi = try route.address.withCString { address in
        try endpoint.target.withCString { target in
          try endpoint.hostHeader.withCString { host in
            try "http/1.1".withCString { alpn in
              info.address = address
              info.path = target
              info.host = host
              info.alpn = alpn
              return try loop.connect(&info, over: route.virtualHost)
            }
          }
        }
      }
    } catch {
      loop.unregister(self)
      throw error
    }
    if wsi == nil {
      finish(WebSocketClose(error: TransportError(.connect, "\(endpoint.description): cannot connect")))
      loop.unregister(self)
    }
    do {
      try await opened.wait().get()
    } catch is CancellationError {
      abandon()
      throw CancellationError()
    }
  }

  /// Sends `text` and returns when it has been handed to the socket.
  /// - Throws: ``TransportError`` if the connection is closed or closing, `CancellationError` if the task is cancelled
  ///   before the message's turn came.
  public func send(_ text: String) async throws {
    guard phase == .open, let wsi else {
      throw TransportError(.closed, "\(endpoint.description): the WebSocket connection is closed")
    }
    let message = OutgoingMessage(text)
    outgoing.append(message)
    lws_callback_on_writable(wsi)
    do {
      try await message.sent.wait().get()
    } catch is CancellationError {
      outgoing.removeAll { $0 === message }
      throw CancellationError()
    }
  }

  /// Sends what is still waiting, then a close frame, and returns when the connection is gone, at the latest after the
  /// request's `closeTimeout`. Closing twice is harmless.
  /// - Parameters:
  ///   - code: 1000…1011 or 3000…4999.
  ///   - reason: at most 123 bytes of it are sent.
  public func close(code: UInt16 = 1000, reason: String = "") async {
    beginClose(code, reason)
    _ = await closure()
  }

  /// Waits for the connection's end.
  /// - Returns: how it ended; if the waiting task is cancelled, at once an end with an error of code `shutDown`.
  public nonisolated func closure() async -> WebSocketClose {
    do {
      return try await end.wait()
    } catch {
      return WebSocketClose(error: TransportError(.shutDown, "\(endpoint.description): no longer waited for"))
    }
  }

  /// Gives up an attempt whose caller is gone, even if it has succeeded meanwhile.
  private func abandon() {
    finish(WebSocketClose(error: TransportError(.shutDown, "\(endpoint.description): connection attempt cancelled")))
    if let wsi { cwebsockets_kill(wsi) }
  }

  /// Starts to end the connection from this side.
  func beginClose(_ code: UInt16, _ reason: String, error: TransportError? = nil) {
    guard phase == .open, let wsi else { return }
    phase = .closing
    let reason = reason.prefix(bytes: 123)
    closing = (code, reason)
    expectedClose = WebSocketClose(code: code, reason: reason, error: error)
    lws_set_timer_usecs(wsi, lws_usec_t(request.closeTimeout / .microseconds(1)))
    lws_callback_on_writable(wsi)
  }

  /// Tells everybody that it is over. Only the first call counts.
  func finish(_ close: WebSocketClose) {
    guard phase != .closed else { return }
    phase = .closed
    let error = close.error ?? TransportError(.closed, "\(endpoint.description): the WebSocket connection is closed")
    opened.open(with: .failure(refusal ?? error))
    for message in outgoing { message.sent.open(with: .failure(error)) }
    outgoing = []
    incoming = []
    inbox.finish()
    end.open(with: close)
  }
}

/// A message on its way out.
final class OutgoingMessage: Sendable {
  /// The payload after the room that libwebsockets wants for its header.
  let bytes: [UInt8]
  let sent = Latch<Result<Void, any Error>>()

  init(_ text: String) {
    bytes = [UInt8](repeating: 0, count: cwebsockets_padding()) + Array(text.utf8)
  }
}

/// When libwebsockets pings and hangs up, at an address that stays as long as the connection.
private final class IdlePolicy: @unchecked Sendable {
  // Sendable because it is written only here, before anybody reads it.
  let pointer = UnsafeMutablePointer<lws_retry_bo_t>.allocate(capacity: 1)

  init(pingAfter: Duration, hangUpAfter: Duration) {
    let ping = Self.seconds(pingAfter)
    pointer.initialize(to: lws_retry_bo_t())
    pointer.pointee.secs_since_valid_ping = min(ping, .max - 1)
    pointer.pointee.secs_since_valid_hangup = max(Self.seconds(hangUpAfter), ping + 1)
  }

  deinit { pointer.deallocate() }

  private static func seconds(_ duration: Duration) -> UInt16 {
    // Bounded: by the line itself.
    UInt16(min(max((duration / .seconds(1)).rounded(.up), 1), Double(UInt16.max - 1)))
  }
}

extension String {
  /// The longest beginning that is at most `bytes` long and ends between characters.
  fileprivate func prefix(bytes: Int) -> String {
    var rest = self[...]
    while rest.utf8.count > bytes { rest.removeLast() }
    return String(rest)
  }
}
