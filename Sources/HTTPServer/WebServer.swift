internal import NIOCore
internal import NIOPosix
internal import Support

/// A small HTTP/1.1 server with WebSockets, for an embedded user interface and for tests.
///
/// Every connection is a child task of one task that the server owns; a request's handler runs on its connection's task
/// and is cancelled when the client leaves. ``stop(grace:)`` returns when all of them have ended.
public final class WebServer: Sendable {
  /// Answers one request. A ``RequestError`` that it throws becomes the response, ``AbortConnection`` ends the
  /// connection, any other error is answered with 500.
  public typealias Handler = @Sendable (ServerRequest) async throws -> ServerResponse

  /// The address listened on.
  public let host: String
  /// The port listened on, the system's choice if 0 was asked for.
  public let port: Int

  private let core: ServerCore
  private let task: Task<Void, Never>

  private init(listener: any Channel, core: ServerCore, task: Task<Void, Never>) {
    host = listener.localAddress?.ipAddress ?? ""
    port = listener.localAddress?.port ?? 0
    self.core = core
    self.task = task
  }

  deinit { core.close() }

  /// Binds a socket and serves it until ``stop(grace:)``.
  /// - Parameters:
  ///   - host: the address to listen on, loopback by default.
  ///   - port: the port; 0 lets the system choose, see ``port``.
  ///   - limits: what clients may ask of the server.
  ///   - onError: called with the errors that were answered with 500 or closed a WebSocket with 1011.
  ///   - handler: answers the requests.
  /// - Throws: when the address cannot be bound.
  public static func start(
    host: String = "127.0.0.1", port: Int = 0, limits: ServerLimits = ServerLimits(),
    onError: @escaping @Sendable (any Error) -> Void = { _ in }, handler: @escaping Handler
  ) async throws -> WebServer {
    let core = ServerCore(limits: limits, handler: handler, onError: onError)
    let listener: NIOAsyncChannel<ConnectionChannel, Never> = try await ServerBootstrap(
      group: MultiThreadedEventLoopGroup.singleton
    )
    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
    .serverChannelOption(.backlog, value: 512)
    .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
    .bind(host: host, port: port) { channel in
      channel.eventLoop.makeCompletedFuture {
        try HTTPChannelHandler.install(in: channel, limits: limits)
        return try ConnectionChannel(wrappingChannelSynchronously: channel)
      }
    }
    core.listens(on: listener.channel)
    let task = Task { await core.serve(listener) }
    return WebServer(listener: listener.channel, core: core, task: task)
  }

  /// Serves while `body` runs, then stops: for tests.
  @discardableResult
  public static func with<Result>(
    host: String = "127.0.0.1", port: Int = 0, limits: ServerLimits = ServerLimits(), handler: @escaping Handler,
    _ body: (WebServer) async throws -> Result
  ) async throws -> Result {
    let server = try await start(host: host, port: port, limits: limits, handler: handler)
    do {
      let result = try await body(server)
      await server.stop()
      return result
    } catch {
      await server.stop()
      throw error
    }
  }

  /// The connections that are open now.
  public var connectionCount: Int { core.connectionCount }

  /// Stops listening, closes idle connections, lets responses under way end for `grace`, closes WebSockets with code
  /// 1001, then closes what is left and cancels its handlers. Returns when no connection and no handler is left.
  public func stop(grace: Duration = .zero) async {
    core.stop()
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [core] in
        if grace > .zero { try? await Task.sleep(for: grace) }
        core.close()
      }
      await task.value
      group.cancelAll()
    }
  }
}

/// What a server's connections share: its handler, and who is connected.
final class ServerCore: Sendable {
  private struct State {
    var listener: (any Channel)?
    var connections: [ObjectIdentifier: any Channel] = [:]
    var isStopping = false
    var isClosed = false
  }

  let limits: ServerLimits
  let handler: WebServer.Handler
  let onError: @Sendable (any Error) -> Void
  private let state = Guarded(State())

  init(limits: ServerLimits, handler: @escaping WebServer.Handler, onError: @escaping @Sendable (any Error) -> Void) {
    self.limits = limits
    self.handler = handler
    self.onError = onError
  }

  var connectionCount: Int { state.withLock { $0.connections.count } }

  func listens(on channel: any Channel) { state.withLock { $0.listener = channel } }

  /// Accepts until the listener is closed, and returns when the last connection has ended. Never cancelled: connections
  /// end because their channel is closed, so that each accepted one is taken and released.
  func serve(_ listener: NIOAsyncChannel<ConnectionChannel, Never>) async {
    await withDiscardingTaskGroup { group in
      try? await listener.executeThenClose { inbound in
        for try await channel in inbound {
          let isSurplus = add(channel.channel)
          group.addTask {
            await Connection(channel: channel, server: self, isSurplus: isSurplus).run()
            self.remove(channel.channel)
          }
        }
      }
    }
  }

  /// - Returns: whether the connection is one too many.
  private func add(_ channel: any Channel) -> Bool {
    let (isSurplus, isStopping, isClosed) = state.withLock {
      $0.connections[ObjectIdentifier(channel)] = channel
      return ($0.connections.count > limits.connections, $0.isStopping, $0.isClosed)
    }
    if isClosed {
      channel.close(promise: nil)
    } else if isStopping {
      channel.pipeline.fireUserInboundEventTriggered(ServerStops())
    }
    return isSurplus
  }

  private func remove(_ channel: any Channel) {
    state.withLock { _ = $0.connections.removeValue(forKey: ObjectIdentifier(channel)) }
  }

  /// Closes the listener and asks the connections to end.
  func stop() {
    let (listener, connections) = state.withLock {
      $0.isStopping = true
      return ($0.listener, Array($0.connections.values))
    }
    listener?.close(promise: nil)
    for channel in connections { channel.pipeline.fireUserInboundEventTriggered(ServerStops()) }
  }

  /// Closes the listener and the connections.
  func close() {
    stop()
    let connections = state.withLock {
      $0.isClosed = true
      return Array($0.connections.values)
    }
    for channel in connections { channel.close(promise: nil) }
  }
}
