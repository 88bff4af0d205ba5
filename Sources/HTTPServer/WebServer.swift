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
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.backlog, value: 512)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { try core.accept(channel) } }
      .bind(host: host, port: port).get()
    core.listens(on: listener)
    return WebServer(listener: listener, core: core, task: Task { await core.serve() })
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
