import HTTPServer
import Support
import TestSupport
import Testing

@testable import Transport

/// The way to an open connection, and everything that can end it.
@Suite(.timeLimit(.minutes(1)))
struct WebSocketUpgradeTests {
  let client: WebSocketClient

  init() throws { client = try WebSocketClient(proxies: .none) }

  private func failure(_ request: WebSocketRequest) async throws -> TransportError {
    do {
      try await client.connect(request).close()
      Issue.record("connected")
      throw CancellationError()
    } catch let error as TransportError {
      return error
    }
  }

  private func refusal(_ answer: String) async throws -> WebSocketUpgradeRefused {
    let server = try ScriptedServer { connection in
      _ = try connection.readRequest()
      try connection.write(answer)
      connection.drain()
    }
    let error = await #expect(throws: WebSocketUpgradeRefused.self) {
      try await client.connect(WebSocketTests.request(server))
    }
    let refusal = try #require(error)
    #expect(refusal.host == "127.0.0.1:\(server.port)")
    return refusal
  }

  // MARK: The request

  @Test func sendsWhatIsAskedForAndOffersNoExtension() async throws {
    let seen = Latch<ScriptedConnection.Request>()
    let server = try ScriptedServer { connection in
      seen.open(with: try connection.acceptWebSocket())
      _ = try connection.receiveMessage()
    }
    let connection = try await client.connect(
      WebSocketRequest(
        "http://localhost:\(server.port)/api/v1/ws/3?a=%20b",
        headers: [HTTPHeader("X-API-Key", "1234"), HTTPHeader("X-Long", String(repeating: "x", count: 5000))]))
    let request = try await seen.reached()
    #expect(request.line == "GET /api/v1/ws/3?a=%20b HTTP/1.1")
    #expect(request.header("host") == "localhost:\(server.port)")
    #expect(request.header("upgrade")?.lowercased() == "websocket")
    #expect(request.header("x-api-key") == "1234")
    #expect(request.header("x-long")?.count == 5000)
    #expect(request.header("sec-websocket-extensions") == nil)
    #expect(request.header("sec-websocket-protocol") == nil)
    await connection.close()
  }

  @Test(arguments: ["", "ftp://host/", "ws://", "ws://host:x/", "ws://host/a b"])
  func badURLs(url: String) async throws {
    #expect(try await failure(WebSocketRequest(url)).code == .badURL)
  }

  @Test func headersThatDoNotFit() async throws {
    let server = try ScriptedServer(WebSocketTests.echo)
    let headers = [HTTPHeader("X-Long", String(repeating: "x", count: 200_000))]
    #expect(try await failure(WebSocketTests.request(server) { $0.headers = headers }).code == .badURL)
    #expect(try await failure(WebSocketTests.request(server) { $0.headers = [HTTPHeader("A\n", "")] }).code == .badURL)
  }

  @Test func worksWithAProperServer() async throws {
    try await WebServer.with { _ in
      .webSocket { socket in
        for try await message in socket.messages { try await socket.send(message) }
      }
    } _: { server in
      let connection = try await client.connect(WebSocketRequest("ws://127.0.0.1:\(server.port)/"))
      var messages = connection.messages.makeAsyncIterator()
      for size in [0, 1, 1000, 1 << 20] {
        try await connection.send(String(repeating: "x", count: size))
        #expect(await messages.next()?.count == size)
      }
      await connection.close(code: 1000, reason: "bye")
      #expect(await connection.closure() == WebSocketClose(code: 1000, reason: "bye"))
    }
  }

  // MARK: Answers

  @Test(arguments: [301, 302, 303, 307, 308])
  func redirectsAreNotFollowed(status: Int) async throws {
    let other = try ScriptedServer(WebSocketTests.echo)
    for location in ["http://127.0.0.1:\(other.port)/ws/3", "/ws/3"] {
      let refusal = try await refusal(
        "HTTP/1.1 \(status) Found\r\nLocation: \(location)\r\nContent-Length: 0\r\n\r\n")
      #expect(refusal.status == status)
      #expect(refusal.header("location") == location)
    }
    #expect(other.accepted.count == 0)
  }

  @Test func aLongLocationArrivesWhole() async throws {
    let location = "http://localhost:1/" + String(repeating: "x", count: 3000)
    #expect(try await refusal("HTTP/1.1 302 Found\r\nLocation: \(location)\r\n\r\n").header("Location") == location)
  }

  @Test func refusalsTellWhenToComeBack() async throws {
    let refusal = try await refusal(
      "HTTP/1.1 429 Too Many\r\nRetry-After: 17\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nlate")
    #expect(refusal.status == 429)
    #expect(refusal.header("Retry-After") == "17")
    #expect(refusal.header("Content-Type") == "text/plain")
    #expect("\(refusal)".contains("429"))
  }

  @Test(arguments: [200, 400, 401, 403, 404, 426, 500, 503])
  func otherStatuses(status: Int) async throws {
    #expect(try await refusal("HTTP/1.1 \(status) X\r\nContent-Length: 0\r\n\r\n").status == status)
  }

  @Test func aRedirectWithoutLocation() async throws {
    #expect(try await refusal("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").status == 302)
  }

  @Test(arguments: [
    "garbage\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
  ])
  func nonsense(answer: String) async throws {
    let server = try ScriptedServer { connection in
      _ = try connection.readRequest()
      try connection.write(answer)
      connection.drain()
    }
    let isHTTP = answer.hasPrefix("HTTP")
    let limit = Duration.seconds(isHTTP ? 30 : 1)
    let error = try await failure(WebSocketTests.request(server) { $0.connectTimeout = limit })
    // libwebsockets goes on waiting for a status line.
    #expect(error.code == (isHTTP ? .protocolViolation : .timedOut), "\(error)")
    #expect(error.message.contains("127.0.0.1:\(server.port)"))
  }

  @Test(arguments: [false, true])
  func theServerHangsUpInTheUpgrade(isReset: Bool) async throws {
    let server = try ScriptedServer { connection in
      _ = try connection.readRequest()
      if isReset { connection.reset() }
    }
    let error = try await failure(WebSocketTests.request(server))
    #expect(error.code == .closed, "\(error)")
  }

  // MARK: No answers

  @Test func nobodyListens() async throws {
    for host in ["127.0.0.1", "localhost"] {
      let error = try await failure(WebSocketRequest("ws://\(host):1/"))
      #expect(error.code == .connect)
      #expect(error.message.contains("\(host):1"))
    }
  }

  @Test func unknownHost() async throws {
    let error = try await failure(WebSocketRequest("ws://no-such-host.invalid/"))
    #expect(error.code == .resolve)
    #expect(error.message.contains("no-such-host.invalid"))
  }

  @Test func aServerThatNeverAnswersHitsTheConnectLimit() async throws {
    let ended = EventCounter()
    let server = try ScriptedServer { connection in
      connection.drain()
      ended.increment()
    }
    let start = ContinuousClock.now
    let error = try await failure(WebSocketTests.request(server) { $0.connectTimeout = .seconds(3) })
    #expect(error.code == .timedOut)
    #expect((.seconds(3) ..< .seconds(30)).contains(start.duration(to: .now)))
    // The connection is closed, not only forgotten.
    try await ended.reach(1)
  }

  @Test func anAddressThatNeverAnswersHitsTheConnectLimit() async throws {
    let listener = try SilentListener()
    var request = WebSocketRequest("ws://127.0.0.1:\(listener.port)/")
    request.connectTimeout = .milliseconds(400)
    #expect(try await failure(request).code == .timedOut)
  }

  @Test func cancelledAttemptsEndAtOnce() async throws {
    let ended = EventCounter()
    let server = try ScriptedServer { connection in
      connection.drain()
      ended.increment()
    }
    let tasks = (0..<50).map { _ in Task { try await client.connect(WebSocketTests.request(server)) } }
    try await server.accepted.reach(50)
    for task in tasks { task.cancel() }
    for task in tasks { await #expect(throws: CancellationError.self) { try await task.value } }
    try await ended.reach(50)
  }

  @Test func cancellationRacesWithTheUpgrade() async throws {
    let ended = EventCounter()
    let server = try ScriptedServer { connection in
      defer { ended.increment() }
      try WebSocketTests.echo(connection)
    }
    for _ in 0..<100 {
      let task = Task { try await client.connect(WebSocketTests.request(server)) }
      await Task.yield()
      task.cancel()
      do { try await task.value.close() } catch is CancellationError {}
    }
    // Nothing stays open that nobody holds.
    try await ended.reach(server.accepted.count)
  }

  // MARK: The loop

  @Test func wakesUpWithoutAnyConnection() async throws {
    // Without a virtual host, libwebsockets would sleep through this.
    let loop = try ServiceLoop.shared.get()
    actor Guest {
      nonisolated let loop: ServiceLoop
      nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
      init(_ loop: ServiceLoop) { self.loop = loop }
      func isOnTheLoop() -> Bool { loop.isIsolatingCurrentContext() == true }
    }
    let guest = Guest(loop)
    for _ in 0..<1000 { #expect(await guest.isOnTheLoop()) }
    #expect(loop.isIsolatingCurrentContext() == false)
  }

  @Test func theNameIsTriedAtAllItsAddresses() async throws {
    // The server listens on 127.0.0.1 only; a resolver may give ::1 first.
    let server = try ScriptedServer(WebSocketTests.echo)
    let connection = try await client.connect(WebSocketRequest("ws://localhost:\(server.port)/"))
    await connection.close()
  }

  @Test func resolvesNumbersAndNames() async throws {
    #expect(try await Resolver.addresses(of: "127.0.0.1") == ["127.0.0.1"])
    #expect(try await Resolver.addresses(of: "::1") == ["::1"])
    #expect(try await Resolver.addresses(of: "localhost").contains("127.0.0.1"))
  }

  // MARK: TLS and proxies

  @Test func aTrustedServerConnects() async throws {
    let certificate = try TestCertificate()
    let server = try ScriptedServer(identity: certificate.identity, WebSocketTests.echo)
    for url in ["wss://localhost:\(server.port)/", "https://127.0.0.1:\(server.port)/"] {
      let connection = try await client.connect(
        WebSocketRequest(url, caFile: certificate.identity.certificate))
      var messages = connection.messages.makeAsyncIterator()
      for size in [1, 100_000, 3 << 20] {
        try await connection.send(String(repeating: "s", count: size))
        #expect(await messages.next()?.count == size)
      }
      await connection.close()
    }
  }

  @Test func anUntrustedServerIsNamedWithTheReason() async throws {
    let certificate = try TestCertificate()
    let server = try ScriptedServer(identity: certificate.identity, WebSocketTests.echo)
    let error = try await failure(WebSocketRequest("wss://localhost:\(server.port)/"))
    #expect(error.code == .tls)
    #expect(error.message.contains("localhost:\(server.port)"))
    #expect(error.message.contains("self-signed certificate") || error.message.contains("self signed"))
  }

  @Test func anExpiredCertificateIsNamedWithTheReason() async throws {
    let certificate = try TestCertificate(isExpired: true)
    let server = try ScriptedServer(identity: certificate.identity, WebSocketTests.echo)
    let error = try await failure(
      WebSocketRequest("wss://localhost:\(server.port)/", caFile: certificate.identity.certificate))
    #expect(error.code == .tls)
    #expect(error.message.contains("certificate has expired"))
  }

  @Test func aWrongNameIsNamedWithTheReason() async throws {
    let certificate = try TestCertificate(["DNS:other.example"])
    let server = try ScriptedServer(identity: certificate.identity, WebSocketTests.echo)
    let error = try await failure(
      WebSocketRequest("wss://localhost:\(server.port)/", caFile: certificate.identity.certificate))
    #expect(error.code == .tls)
    #expect(error.message.lowercased().contains("hostname mismatch"))
  }

  @Test func aServerWithoutTLS() async throws {
    let server = try ScriptedServer { connection in
      _ = try connection.read(10)
      try connection.write("HTTP/1.1 400 Bad Request\r\n\r\n")
    }
    let error = try await failure(WebSocketRequest("wss://localhost:\(server.port)/"))
    #expect(error.code == .tls)
    #expect(error.message.contains("localhost:\(server.port)"))
  }

  @Test func aMissingCAFileIsNamed() async throws {
    let error = try await failure(WebSocketRequest("wss://127.0.0.1:1/", caFile: "/nowhere/ca.pem"))
    #expect(error.code == .tls)
    #expect(error.message.contains("/nowhere/ca.pem"))
  }

  @Test func goesThroughAProxy() async throws {
    let certificate = try TestCertificate(["DNS:worker.example"])
    let server = try ScriptedServer(identity: certificate.identity, WebSocketTests.echo)
    let asked = Latch<ScriptedConnection.Request>()
    let proxy = try ScriptedServer { connection in
      asked.open(with: try connection.readRequest())
      try connection.write("HTTP/1.1 200 Connection established\r\n\r\n")
      try connection.relay(to: try TCPSocket(port: server.port))
    }
    let client = try WebSocketClient(
      proxies: ProxySettings(["https_proxy": "http://user:secret@localhost:\(proxy.port)", "no_proxy": "other.example"])
    )
    let connection = try await client.connect(
      WebSocketRequest("wss://worker.example/ws", caFile: certificate.identity.certificate))
    var messages = connection.messages.makeAsyncIterator()
    try await connection.send("hello")
    #expect(await messages.next() == "hello")
    await connection.close()
    let request = try await asked.reached()
    #expect(request.line == "CONNECT worker.example:443 HTTP/1.1")
    #expect(request.header("proxy-authorization")?.lowercased().hasPrefix("basic dxnlcjpzzwnyzxq=") == true)
  }
}
