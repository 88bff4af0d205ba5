internal import NIOCore
internal import NIOPosix
internal import Support

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
  private let accepted: AsyncStream<Connection>
  private let acceptance: AsyncStream<Connection>.Continuation

  init(limits: ServerLimits, handler: @escaping WebServer.Handler, onError: @escaping @Sendable (any Error) -> Void) {
    self.limits = limits
    self.handler = handler
    self.onError = onError
    (accepted, acceptance) = AsyncStream.makeStream()
  }

  var connectionCount: Int { state.withLock { $0.connections.count } }

  func listens(on channel: any Channel) { state.withLock { $0.listener = channel } }

  /// Takes a new connection in, on its event loop.
  func accept(_ channel: any Channel) throws {
    try HTTPChannelHandler.install(in: channel, limits: limits)
    let wrapped = try ConnectionChannel(wrappingChannelSynchronously: channel)
    let id = ObjectIdentifier(channel)
    let (isSurplus, isStopping, isClosed) = state.withLock {
      $0.connections[id] = channel
      return ($0.connections.count > limits.connections, $0.isStopping, $0.isClosed)
    }
    channel.closeFuture.whenComplete { _ in self.state.withLock { _ = $0.connections.removeValue(forKey: id) } }
    acceptance.yield(Connection(channel: wrapped, server: self, isSurplus: isSurplus))
    if isClosed {
      channel.close(promise: nil)
    } else if isStopping {
      channel.pipeline.fireUserInboundEventTriggered(ServerStops())
    }
  }

  /// Serves until the stop, and returns when the last connection has ended. Never cancelled: connections end because
  /// their channels are closed.
  func serve() async {
    await withDiscardingTaskGroup { group in
      for await connection in accepted { group.addTask { await connection.run() } }
    }
  }

  /// Closes the listener and asks the connections to end.
  func stop() {
    let (listener, connections) = state.withLock {
      $0.isStopping = true
      return ($0.listener, Array($0.connections.values))
    }
    for channel in connections { channel.pipeline.fireUserInboundEventTriggered(ServerStops()) }
    guard let listener else { return }
    listener.close(promise: nil)
    // A connection accepted before may still be on its way through an event loop; each must be served, if only to close.
    listener.closeFuture.whenComplete { [acceptance] _ in
      let passed = MultiThreadedEventLoopGroup.singleton.makeIterator().map { $0.submit {} }
      EventLoopFuture.andAllComplete(passed, on: listener.eventLoop).whenComplete { _ in acceptance.finish() }
    }
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
