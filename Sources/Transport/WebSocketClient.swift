import Support

/// WebSocket on libwebsockets. All clients of a process share one thread; see ``WebSocketConnection``.
public final class WebSocketClient: Sendable {
  private let loop: ServiceLoop
  private let proxies: ProxySettings

  /// Starts the process's WebSocket thread, if no client has done so before.
  /// - Parameter proxies: HTTP proxies, used by `CONNECT` for `ws` and `wss` alike.
  /// - Throws: ``TransportError`` with code `system`.
  public init(proxies: ProxySettings = .environment()) throws {
    loop = try ServiceLoop.shared.get()
    self.proxies = proxies
  }

  /// Connects and asks for the upgrade. No extension and no subprotocol is offered.
  ///
  /// The addresses of a name are tried in the system's order until one accepts the connection. A connection lives until
  /// one side closes it, not until it is forgotten.
  /// - Throws: ``TransportError``, ``WebSocketUpgradeRefused`` for any answer but 101 (redirects are not followed), or
  ///   `CancellationError` if the task is cancelled.
  public func connect(_ request: WebSocketRequest) async throws -> WebSocketConnection {
    let endpoint = try Endpoint(request.url, schemes: ["ws": 80, "http": 80, "wss": 443, "https": 443])
    if let header = request.headers.first(where: { !$0.isSendable }) {
      throw TransportError(.badURL, "\(endpoint.description): header \(header.name.debugDescription) cannot be sent")
    }
    let limit = request.connectTimeout
    return try await withTimeout(limit) {
      try await self.connect(request, endpoint)
    } onTimeout: {
      TransportError(.timedOut, "\(endpoint.description): no WebSocket connection within \(limit)")
    }
  }

  /// Lets the process's WebSocket thread run `body` in its next turn: whether it does tells whether the thread goes on.
  public func submit(_ body: @escaping @Sendable () -> Void) { loop.submit(body) }

  private func connect(_ request: WebSocketRequest, _ endpoint: Endpoint) async throws -> WebSocketConnection {
    var failure = TransportError(.resolve, "\(endpoint.description): the name has no address")
    for route in try await routes(to: endpoint, caFile: request.caFile) {
      let connection = WebSocketConnection(request, endpoint, loop)
      do {
        try await connection.open(route)
        return connection
      } catch let error as TransportError where error.code == .connect {
        failure = error
      }
    }
    throw failure
  }

  /// A way to reach an endpoint.
  struct Route: Sendable {
    /// What libwebsockets resolves: an address, so that it need not ask; a name only for a proxy to resolve.
    let address: String
    let virtualHost: ServiceLoop.VirtualHost
  }

  private func routes(to endpoint: Endpoint, caFile: String?) async throws -> [Route] {
    guard let proxy = proxies.proxy(for: endpoint) else {
      return try await Resolver.addresses(of: endpoint.host).map {
        Route(address: $0, virtualHost: .init(isSecure: endpoint.isSecure, caFile: caFile, proxy: nil))
      }
    }
    let proxyEndpoint = try Endpoint(proxy.contains("://") ? proxy : "http://\(proxy)", schemes: ["http": 1080])
    let userInfo = proxyEndpoint.userInfo.map { "\($0)@" } ?? ""
    return try await Resolver.addresses(of: proxyEndpoint.host).map { address in
      let bracketed = address.contains(":") ? "[\(address)]" : address
      return Route(
        address: endpoint.host,
        virtualHost: .init(
          isSecure: endpoint.isSecure, caFile: caFile, proxy: "\(userInfo)\(bracketed):\(proxyEndpoint.port)"))
    }
  }
}

/// Runs `body`, cancels it after `limit` and then throws `onTimeout`. What `body` returns nevertheless is returned: it
/// may be a connection that nobody else would close.
private func withTimeout<Value: Sendable>(
  _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value, onTimeout: () -> TransportError
) async throws -> Value {
  try await withThrowingTaskGroup(of: Value?.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try? await DeadlineClock().sleep(for: limit)
      return nil
    }
    defer { group.cancelAll() }
    if let value = try await group.next() ?? nil { return value }
    group.cancelAll()
    do {
      if let value = try await group.next() ?? nil { return value }
    } catch is CancellationError {}
    try Task.checkCancellation()
    throw onTimeout()
  }
}
