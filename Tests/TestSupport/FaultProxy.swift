import Support

/// A TCP proxy in front of a server on the loopback interface that breaks chosen HTTP requests in chosen ways. What no
/// rule names passes through: keep-alive, WebSockets, anything. It works until ``stop()``.
///
/// A client may send a request again by itself if a *kept* connection ends before any byte of an answer: what looks like
/// no fault at all is then a second request.
package final class FaultProxy: Sendable {
  /// What happens to a request.
  package enum Fault: Sendable {
    /// Nothing.
    case pass
    /// It is passed on later.
    case delay(Duration)
    /// The server never sees it, the client gets an RST.
    case refuse
    /// The server never sees it, the client never hears of it again, unless the proxy breaks the connection.
    case hold
    /// The server never sees it, the client gets these bytes: a whole response with its head.
    case answer([UInt8])
    /// The server answers; the client gets so many bytes of it (frames of a WebSocket included) and then an RST.
    case reset(afterBytes: Int)
    /// The server answers; the client gets so many bytes of it and then the end of the stream.
    case cut(afterBytes: Int)
    /// The server answers; the client gets `count` bytes inverted, after so many good ones.
    case corrupt(afterBytes: Int, count: Int)
    /// The server gets it twice, one after the other; the client gets the second answer.
    case duplicate
  }

  /// Which requests a fault happens to.
  package final class Rule: Sendable {
    /// Counts the requests that the rule has been applied to.
    package let applied = EventCounter()
    let method: String?
    let path: String
    let bodyTest: BodyTest?
    let occurrences: ClosedRange<Int>
    let fault: Fault
    private let matches = Guarded(0)

    init(
      _ method: String?, _ path: String, _ bodyTest: BodyTest?, _ occurrences: ClosedRange<Int>, _ fault: Fault
    ) {
      self.method = method
      self.path = path
      self.bodyTest = bodyTest
      self.occurrences = occurrences
      self.fault = fault
    }

    /// Whether the request's body has to be known.
    var needsBody: Bool { if case .duplicate = fault { true } else { bodyTest != nil } }

    /// Whether it happens to such requests, apart from their bodies.
    func fits(_ method: Substring, _ target: Substring) -> Bool {
      (self.method.map { $0 == method } ?? true) && (target.contains(path) || path.isEmpty)
    }

    func takes(_ method: Substring, _ target: Substring, _ body: ArraySlice<UInt8>) -> Bool {
      guard fits(method, target), bodyTest.map({ $0(body) }) ?? true else { return false }
      let number = matches.withLock { matches in
        matches += 1
        return matches
      }
      return occurrences.contains(number)
    }
  }

  /// Looks at a request's body.
  package typealias BodyTest = @Sendable (ArraySlice<UInt8>) -> Bool

  /// What happens to new connections.
  package enum Door: Sendable {
    /// They are connected to the server.
    case open
    /// They are accepted and reset.
    case resetting
    /// Nobody listens at the port.
    case closed
  }

  private struct State {
    var rules: [Rule] = []
    var messageRules: [MessageRule] = []
    var door = Door.open
    var listener: TCPListener?
    /// Keeps a closed door's port from becoming somebody else's.
    var reservation: ReservedPort?
    var connections: [ProxiedConnection] = []
    var isFrozen = false
  }

  /// Where the proxy listens on 127.0.0.1.
  package let port: Int
  /// Counts connections accepted, reset ones included.
  package let connections = EventCounter()
  /// Counts requests seen.
  package let requests = EventCounter()
  /// The port of the server behind.
  let target: Int
  private let state = Guarded(State())

  /// Starts to listen on `port` (0: any free one), for the server at port `target` on 127.0.0.1.
  package init(to target: Int, port: Int = 0) throws {
    self.target = target
    // Empty until the port is known to anybody.
    let proxy = Guarded<FaultProxy?>(nil)
    let listener = try TCPListener(port: port, name: "fault-proxy") { socket in
      proxy.withLock { $0 }?.serve(socket)
    }
    self.port = listener.port
    state.withLock { $0.listener = listener }
    proxy.withLock { $0 = self }
  }

  /// Breaks the requests whose method is `method` (`nil`: any) and whose target contains `path`; of those, counted from
  /// now, only the ones numbered `occurrences` (from 1). The first rule that fits wins.
  /// - Parameter body: looks at the request's body, which must be in memory for that, and chunked ones are not.
  @discardableResult
  package func on(
    _ method: String? = nil, _ path: String = "", body: BodyTest? = nil,
    occurrences: ClosedRange<Int> = 1...Int.max, _ fault: Fault
  ) -> Rule {
    let rule = Rule(method, path, body, occurrences, fault)
    state.withLock { $0.rules.append(rule) }
    return rule
  }

  /// Breaks the WebSocket messages of `side` that contain `text`; of those, counted from now, only the ones numbered
  /// `occurrences` (from 1). The first rule that fits wins.
  @discardableResult
  package func onMessage(
    from side: MessageRule.Side, containing text: String, occurrences: ClosedRange<Int> = 1...Int.max,
    _ fault: MessageRule.Fault
  ) -> MessageRule {
    let rule = MessageRule(side, text, occurrences, fault)
    state.withLock { $0.messageRules.append(rule) }
    return rule
  }

  /// Forgets all rules; what is already happening goes on.
  package func clear() {
    state.withLock { state in
      state.rules = []
      state.messageRules = []
    }
  }

  /// Opens, closes or booby-traps the port for new connections.
  package func setDoor(_ door: Door) throws {
    let old = state.withLock { state in
      state.door = door
      defer { if door == .closed { state.listener = nil } }
      return state.listener
    }
    if door == .closed {
      guard let old else { return }
      old.stop()
      let reservation = try ReservedPort(port)
      state.withLock { $0.reservation = reservation }
    } else if old == nil {
      let reservation = state.withLock { state in
        defer { state.reservation = nil }
        return state.reservation
      }
      reservation?.release()
      let listener = try TCPListener(port: port, name: "fault-proxy") { self.serve($0) }
      state.withLock { $0.listener = listener }
    }
  }

  /// Lets all connections fall silent, or speak again: the peers are there but nothing arrives any more.
  package func freeze(_ isFrozen: Bool = true) {
    for connection in state.withLock({ state in
      state.isFrozen = isFrozen
      return state.connections
    }) { connection.tell(.freeze(isFrozen)) }
  }

  /// Ends all connections, by FIN or by RST.
  package func breakConnections(resetting: Bool = false) {
    for connection in state.withLock({ $0.connections }) { connection.tell(resetting ? .reset : .cut) }
  }

  /// Stops listening and ends all connections.
  package func stop() {
    state.withLock { $0.listener }?.stop()
    breakConnections()
  }

  func fault(for method: Substring, _ target: Substring, _ body: ArraySlice<UInt8>) -> Fault {
    requests.increment()
    guard let rule = state.withLock({ $0.rules }).first(where: { $0.takes(method, target, body) }) else { return .pass }
    rule.applied.increment()
    return rule.fault
  }

  /// Whether a rule has to know the body of such a request.
  func needsBody(of method: Substring, _ target: Substring) -> Bool {
    state.withLock { $0.rules }.contains { $0.needsBody && $0.fits(method, target) }
  }

  func fault(for message: String, from side: MessageRule.Side) -> MessageRule.Fault? {
    guard let rule = state.withLock({ $0.messageRules }).first(where: { $0.takes(message, side) }) else { return nil }
    rule.applied.increment()
    return rule.fault
  }

  private func serve(_ socket: TCPSocket) {
    connections.increment()
    guard state.withLock({ $0.door }) == .open, let server = try? TCPSocket(port: target),
      let connection = try? ProxiedConnection(self, client: socket, server: server)
    else { return socket.reset() }
    state.withLock { state in
      state.connections.append(connection)
      if state.isFrozen { connection.tell(.freeze(true)) }
    }
    connection.run()
    state.withLock { $0.connections.removeAll { $0 === connection } }
  }
}
