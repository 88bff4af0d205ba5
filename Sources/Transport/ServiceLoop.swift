import CWebSockets
import Glibc
import Support

/// The thread that runs libwebsockets for the whole process, as the executor of all connections: what is isolated to a
/// connection may call `lws_*`, and nothing else can.
///
/// Work is done between two calls of `lws_service`, never inside a callback. The loop lives as long as the process, so
/// no job is ever dropped.
final class ServiceLoop: SerialExecutor {
  private struct State {
    var jobs: [UnownedJob] = []
    var errands: [@Sendable () -> Void] = []
    var thread: pthread_t?
  }

  /// What only the service thread touches.
  private final class Confined {
    var connections: [UInt: WebSocketConnection] = [:]
    var virtualHosts: [VirtualHost: OpaquePointer] = [:]
  }

  /// What connections must have in common to share libwebsockets' configuration object.
  struct VirtualHost: Hashable {
    /// Whether it is for TLS: only then are the system's certificates loaded, which takes time and megabytes.
    var isSecure = false
    /// A file of PEM certificates to trust besides the system's.
    var caFile: String?
    /// `[user:password@]address:port`.
    var proxy: String?
  }

  /// The loop of this process, or why it could not be started.
  static let shared = Result { () throws(TransportError) in try ServiceLoop() }

  /// Warnings and errors that libwebsockets logged in this turn of the loop.
  private static let log = Guarded<[String]>([])

  private let state = Guarded(State())
  // Of the context, other threads use only `lws_cancel_service`, which libwebsockets allows from any thread.
  private nonisolated(unsafe) let context: OpaquePointer
  // Proven by `checkIsolated` in front of each use; the initialiser is alone.
  private nonisolated(unsafe) let confined = Confined()

  private init() throws(TransportError) {
    lws_set_log_level(Int32(LLL_ERR | LLL_WARN)) { _, line in
      guard let line else { return }
      let text = String(cString: line)
      ServiceLoop.log.withLock { if $0.count < 16 { $0.append(text) } }
    }
    var info = lws_context_creation_info()
    info.port = CONTEXT_PORT_NO_LISTEN
    info.options = UInt64(LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_EXPLICIT_VHOSTS)
    // The limits of a request decide, not the library's own for the steps of a handshake.
    info.timeout_secs = 24 * 3600
    info.connect_timeout_secs = 24 * 3600
    info.pt_serv_buf_size = 64 << 10
    info.max_http_header_data = 16 << 10
    // Otherwise the tables are as large as the limit of open files, which may be a thousand million.
    info.fd_limit_per_thread = 1024
    // libwebsockets ignores SIGPIPE for the whole process, and every child would inherit that.
    var before = sigaction()
    sigaction(SIGPIPE, nil, &before)
    let context = lws_create_context(&info)
    sigaction(SIGPIPE, &before, nil)
    guard let context else { throw TransportError(.system, "libwebsockets cannot be initialised") }
    self.context = context
    // Wake-ups are lost while there is no virtual host, so there always is one.
    guard let base = Self.create(VirtualHost(), context) else {
      lws_context_destroy(context)
      throw TransportError(.system, "libwebsockets cannot be initialised")
    }
    confined.virtualHosts[VirtualHost()] = base
    do {
      try ServiceThread.start(name: "websocket") { [self] in run() }
    } catch {
      throw TransportError(.system, "\(error)")
    }
  }

  private func run() {
    blockSIGPIPE()
    state.withLock { $0.thread = pthread_self() }
    while true {
      // Emptied after every return of lws_service, whatever woke it.
      let (jobs, errands) = state.withLock { state in
        let work = (state.jobs, state.errands)
        state.jobs = []
        state.errands = []
        return work
      }
      for job in jobs { job.runSynchronously(on: asUnownedSerialExecutor()) }
      for errand in errands { errand() }
      lws_service(context, 0)
      _ = Self.takeLog()
    }
  }

  /// What was logged since this was called last: often the only thing that says why a TLS handshake failed.
  static func takeLog() -> [String] {
    log.withLock { log in
      let lines = log
      log = []
      return lines
    }
  }

  // MARK: Executor

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let isFirst = state.withLock { state in
      state.jobs.append(job)
      return state.jobs.count == 1
    }
    if isFirst { lws_cancel_service(context) }
  }

  /// Lets the thread run `body` in its next turn, without waiting for it.
  func submit(_ body: @escaping @Sendable () -> Void) {
    state.withLock { $0.errands.append(body) }
    lws_cancel_service(context)
  }

  func checkIsolated() { precondition(isIsolatingCurrentContext() == true, "not on the websocket thread") }

  func isIsolatingCurrentContext() -> Bool? {
    state.withLock { state in state.thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false }
  }

  // MARK: Connections

  private static let lastConnectionID = Guarded<UInt>(0)

  /// An id that no connection of this process has had.
  static func newConnectionID() -> UInt {
    lastConnectionID.withLock { last in
      last += 1
      return last
    }
  }

  /// Makes `connection` the receiver of the callbacks that carry its id.
  func register(_ connection: WebSocketConnection) {
    checkIsolated()
    confined.connections[connection.id] = connection
  }

  /// The opposite of ``register(_:)``: to be called when libwebsockets has freed the connection's `wsi`.
  func unregister(_ connection: WebSocketConnection) {
    checkIsolated()
    confined.connections[connection.id] = nil
  }

  /// Starts a connection attempt; `nil` if it has failed already, after the callbacks that tell why.
  /// - Throws: ``TransportError`` if the CA file cannot be read.
  func connect(
    _ info: inout lws_client_connect_info, over virtualHost: VirtualHost
  ) throws(TransportError) -> OpaquePointer? {
    checkIsolated()
    info.context = context
    info.vhost = try vhost(virtualHost)
    info.local_protocol_name = Self.protocolName
    return lws_client_connect_via_info(&info)
  }

  private func vhost(_ virtualHost: VirtualHost) throws(TransportError) -> OpaquePointer {
    if let vhost = confined.virtualHosts[virtualHost] { return vhost }
    if let caFile = virtualHost.caFile, access(caFile, R_OK) != 0 {
      throw TransportError(.tls, "cannot read CA file \(caFile): \(String(cString: strerror(errno)))")
    }
    guard let vhost = Self.create(virtualHost, context) else {
      throw TransportError(.system, "libwebsockets is out of memory")
    }
    confined.virtualHosts[virtualHost] = vhost
    return vhost
  }

  fileprivate func connection(of wsi: OpaquePointer) -> WebSocketConnection? {
    checkIsolated()
    return confined.connections[UInt(bitPattern: lws_get_opaque_user_data(wsi))]
  }

  // MARK: C side

  // Immutable, and libwebsockets keeps the pointers for good.
  private nonisolated(unsafe) static let protocolName = UnsafePointer(strdup("websocket"))
  private nonisolated(unsafe) static let protocols: UnsafePointer<lws_protocols> = {
    let protocols = UnsafeMutablePointer<lws_protocols>.allocate(capacity: 2)
    protocols.initialize(repeating: lws_protocols(), count: 2)
    protocols[0].name = protocolName
    protocols[0].callback = { wsi, reason, _, input, length in ServiceLoop.dispatch(wsi, reason, input, length) }
    protocols[0].rx_buffer_size = 64 << 10
    return UnsafePointer(protocols)
  }()

  private static func create(_ virtualHost: VirtualHost, _ context: OpaquePointer) -> OpaquePointer? {
    var info = lws_context_creation_info()
    info.port = CONTEXT_PORT_NO_LISTEN
    info.protocols = protocols
    if virtualHost.isSecure { info.options = UInt64(LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT) }
    info.vhost_name = protocolName
    // No `extensions`: with permessage-deflate negotiated, the first pong makes 4.1 spin.
    let caFile = virtualHost.caFile.map { strdup($0) } ?? nil
    // Never `nil`, or the library would look into the environment by itself.
    let proxy = strdup(virtualHost.proxy ?? "")
    defer {
      free(caFile)
      free(proxy)
    }
    info.client_ssl_ca_filepath = UnsafePointer(caFile)
    info.http_proxy_address = UnsafePointer(proxy)
    return lws_create_vhost(context, &info)
  }

  /// The entrance for everything that libwebsockets has to say.
  private static func dispatch(
    _ wsi: OpaquePointer?, _ reason: lws_callback_reasons, _ input: UnsafeMutableRawPointer?, _ length: Int
  ) -> Int32 {
    switch reason {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER, LWS_CALLBACK_CLIENT_HTTP_REDIRECT,
      LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP, LWS_CALLBACK_CLIENT_ESTABLISHED, LWS_CALLBACK_CLIENT_RECEIVE,
      LWS_CALLBACK_CLIENT_RECEIVE_PONG, LWS_CALLBACK_CLIENT_WRITEABLE, LWS_CALLBACK_WS_PEER_INITIATED_CLOSE,
      LWS_CALLBACK_CLIENT_CONNECTION_ERROR, LWS_CALLBACK_CLIENT_CLOSED, LWS_CALLBACK_TIMER, LWS_CALLBACK_WSI_DESTROY:
      guard let wsi, case .success(let loop) = shared, let connection = loop.connection(of: wsi) else { return 0 }
      // The pointers stay on this thread: the closure has run before the call returns.
      nonisolated(unsafe) let event = (wsi: wsi, input: input)
      return connection.assumeIsolated { $0.handle(reason, event.wsi, event.input, length) }
    default:
      // Also everything that happens while the loop is being made, when `shared` does not exist yet.
      return 0
    }
  }
}
