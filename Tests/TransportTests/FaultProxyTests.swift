import HTTPServer
import Support
import TestSupport
import Testing
import Transport

/// The proxy that other suites break connections with does what it says.
@Suite(.timeLimit(.minutes(1)))
struct FaultProxyTests {
  let client: HTTPClient

  init() throws { client = try HTTPClient(.init(proxies: .none)) }

  private func get(_ proxy: FaultProxy, _ target: String = "/") async throws -> HTTPResponse {
    try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(proxy.port)\(target)"))
  }

  private func failure(_ proxy: FaultProxy, _ target: String = "/") async -> TransportError.Code? {
    do {
      _ = try await get(proxy, target)
      return nil
    } catch {
      return (error as? TransportError)?.code
    }
  }

  @Test func passesEverythingOn() async throws {
    let server = try ScriptedServer(HTTPClientTests.echo)
    let proxy = try FaultProxy(to: server.port)
    for number in 0..<20 {
      let body = [UInt8](repeating: UInt8(number), count: number * 50_000)
      let answer = try await client.send(
        HTTPRequest(.post, "http://127.0.0.1:\(proxy.port)/\(number)", body: .bytes(body, contentType: "x/y")))
      #expect(Array(answer.body.suffix(body.count)) == body)
    }
    #expect(proxy.requests.count == 20)
    #expect(proxy.connections.count == 1)
    #expect(server.accepted.count == 1)
    proxy.stop()
  }

  @Test func rulesChooseByMethodPathAndOccurrence() async throws {
    let server = try ScriptedServer(HTTPClientTests.echo)
    let proxy = try FaultProxy(to: server.port)
    proxy.on("POST", "/a", .refuse)
    let rule = proxy.on(
      "GET", "/a", occurrences: 2...3, .answer(Array("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n".utf8)))
    var statuses: [Int] = []
    for _ in 0..<4 { statuses.append(try await get(proxy, "/a/b").status) }
    #expect(statuses == [200, 503, 503, 200])
    #expect(try await get(proxy, "/b").status == 200)
    #expect(rule.applied.count == 2)
    proxy.clear()
    proxy.stop()
  }

  @Test func breaksAnswers() async throws {
    let server = try ScriptedServer { connection in
      while true {
        _ = try connection.readRequest()
        try connection.respond(body: Array("0123456789".utf8))
      }
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".utf8.count
    let proxy = try FaultProxy(to: server.port)
    proxy.on(nil, "/reset", .reset(afterBytes: head + 5))
    proxy.on(nil, "/cut", .cut(afterBytes: head + 5))
    proxy.on(nil, "/nothing", .cut(afterBytes: 0))
    proxy.on(nil, "/corrupt", .corrupt(afterBytes: head + 2, count: 3))
    proxy.on(nil, "/refuse", .refuse)
    for target in ["/reset", "/cut", "/nothing", "/refuse"] {
      #expect(await failure(proxy, target) == .closed, "\(target)")
    }
    let corrupt = try await get(proxy, "/corrupt").body
    #expect(corrupt == Array("01".utf8) + Array("234".utf8).map { ~$0 } + Array("56789".utf8))
    #expect(try await get(proxy, "/fine").body.count == 10)
    proxy.stop()
  }

  @Test func delaysAndHolds() async throws {
    let server = try ScriptedServer(HTTPClientTests.echo)
    let proxy = try FaultProxy(to: server.port)
    proxy.on(nil, "/late", .delay(.milliseconds(200)))
    let hold = proxy.on(nil, "/hold", occurrences: 1...1, .hold)
    let start = ContinuousClock.now
    #expect(try await get(proxy, "/late").status == 200)
    #expect(start.duration(to: .now) >= .milliseconds(200))
    // On a kept connection that is reset before any answer, the request is sent again.
    async let held = get(proxy, "/hold")
    try await hold.applied.reach(1)
    #expect(try await get(proxy, "/other").status == 200)
    proxy.breakConnections(resetting: true)
    #expect(try await held.status == 200)
    proxy.stop()
  }

  @Test func theDoorClosesAndOpens() async throws {
    let server = try ScriptedServer(HTTPClientTests.echo)
    let proxy = try FaultProxy(to: server.port)
    #expect(try await get(proxy).status == 200)
    try proxy.setDoor(.closed)
    proxy.breakConnections()
    #expect(await failure(proxy) == .connect)
    try proxy.setDoor(.resetting)
    #expect([.closed, .connect].contains(await failure(proxy)))
    try proxy.setDoor(.open)
    #expect(try await get(proxy).status == 200)
    proxy.stop()
  }

  @Test func webSocketsPassAndFreeze() async throws {
    try await WebServer.with { _ in
      .webSocket { socket in
        for try await message in socket.messages { try await socket.send(message) }
      }
    } _: { server in
      let proxy = try FaultProxy(to: server.port)
      let client = try WebSocketClient(proxies: .none)
      var request = WebSocketRequest("ws://127.0.0.1:\(proxy.port)/ws")
      request.pingAfter = .seconds(1)
      request.hangUpAfter = .seconds(2)
      let connection = try await client.connect(request)
      var messages = connection.messages.makeAsyncIterator()
      try await connection.send("through")
      #expect(await messages.next() == "through")
      proxy.freeze()
      #expect(await connection.closure().error?.code == .timedOut)
      proxy.freeze(false)
      let second = try await client.connect(request)
      proxy.breakConnections(resetting: true)
      #expect(await second.closure().error?.code == .closed)
      proxy.stop()
    }
  }
}

/// Of requests' bodies and WebSocket messages.
extension FaultProxyTests {
  @Test func rulesChooseByBody() async throws {
    let server = try ScriptedServer(HTTPClientTests.echo)
    let proxy = try FaultProxy(to: server.port)
    let rule = proxy.on("POST", body: { $0.last == UInt8(ascii: "!") }, .refuse)
    for (text, isRefused) in [("no", false), ("yes!", true), (String(repeating: "x", count: 300_000) + "!", true)] {
      let request = HTTPRequest(
        .post, "http://127.0.0.1:\(proxy.port)/", body: .bytes(Array(text.utf8), contentType: "text/plain"))
      let answer = try? await client.send(request)
      #expect((answer == nil) == isRefused, "\(text.count)")
    }
    #expect(rule.applied.count >= 2)
    proxy.stop()
    server.stop()
  }

  @Test func deliversRequestsTwice() async throws {
    let bodies = Guarded<[[UInt8]]>([])
    let server = try ScriptedServer { connection in
      while true {
        let request = try connection.readRequest()
        bodies.withLock { $0.append(request.body) }
        try connection.respond(body: request.line.hasPrefix("HEAD") ? [] : [1])
      }
    }
    let proxy = try FaultProxy(to: server.port)
    proxy.on(nil, "/twice", .duplicate)
    let url = "http://127.0.0.1:\(proxy.port)"
    let body = HTTPRequest.Body.bytes([7, 7], contentType: "x/y")
    #expect(try await client.send(HTTPRequest(.post, "\(url)/twice", body: body)).body == [1])
    #expect(bodies.withLock { $0 } == [[7, 7], [7, 7]])
    _ = try await client.send(HTTPRequest(.head, "\(url)/twice"))
    _ = try await client.send(HTTPRequest(.post, "\(url)/once", body: body))
    #expect(bodies.withLock { $0.count } == 5)
    proxy.stop()
    server.stop()
  }

  @Test func breaksMessages() async throws {
    let server = try ScriptedServer(WebSocketTests.echo)
    let proxy = try FaultProxy(to: server.port)
    proxy.onMessage(from: .client, containing: "drop", .drop)
    proxy.onMessage(from: .client, containing: "twice", .duplicate)
    proxy.onMessage(from: .server, containing: "other", .replace("replaced"))
    proxy.onMessage(
      from: .server, containing: "again", occurrences: 2...2, .replace(String(repeating: "r", count: 300)))
    proxy.onMessage(from: .server, containing: "end", .cut)
    proxy.onMessage(from: .client, containing: "reset", .reset)
    let long = String(repeating: "l", count: 100_000)
    let connection = try await WebSocketClient(proxies: .none).connect(
      WebSocketRequest("ws://127.0.0.1:\(proxy.port)/"))
    for text in ["drop", "plain", "twice", "other", "again", "again", long, "end"] { try await connection.send(text) }
    var messages: [String] = []
    for await message in connection.messages { messages.append(message) }
    let expected = ["plain", "twice", "twice", "replaced", "again", String(repeating: "r", count: 300), long]
    #expect(messages == expected)
    #expect(await connection.closure().error?.code == .closed)
    let second = try await WebSocketClient(proxies: .none).connect(WebSocketRequest("ws://127.0.0.1:\(proxy.port)/"))
    try await second.send("reset")
    #expect(await second.closure().error?.code == .closed)
    proxy.stop()
    server.stop()
  }
}
