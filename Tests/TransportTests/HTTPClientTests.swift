import Support
import TestSupport
import Testing
import Transport

/// What is sent, what comes back, and which connections it takes.
@Suite(.timeLimit(.minutes(1)))
struct HTTPClientTests {
  let client: HTTPClient

  init() throws { client = try HTTPClient(.init(userAgent: "test/1", proxies: .none)) }

  /// Answers each request with its own head and body.
  static func echo(_ connection: ScriptedConnection) throws {
    while true {
      let request = try connection.readRequest()
      let text = ([request.line] + request.headers).joined(separator: "\n") + "\n\n"
      try connection.respond(body: Array(text.utf8) + request.body)
    }
  }

  static func text(_ response: HTTPResponse) -> String { String(decoding: response.body, as: UTF8.self) }

  @Test func sendsPathAndQueryAsWritten() async throws {
    let server = try ScriptedServer(Self.echo)
    let target = "/a/../b//c%2Fd?x=%20+y&z='\"&"
    let answer = try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)\(target)"))
    #expect(answer.status == 200)
    #expect(Self.text(answer).hasPrefix("GET \(target) HTTP/1.1\n"))
  }

  @Test func sendsHeadersIncludingEmptyOnes() async throws {
    let server = try ScriptedServer(Self.echo)
    let request = HTTPRequest(
      .get, "http://127.0.0.1:\(server.port)/",
      headers: [HTTPHeader("X-Key", "a: b; c"), HTTPHeader("X-Empty", ""), HTTPHeader("Accept", "application/json")])
    let text = Self.text(try await client.send(request))
    #expect(text.contains("\nX-Key: a: b; c\n"))
    #expect(text.contains("\nX-Empty:"))
    #expect(text.contains("\nAccept: application/json\n"))
    #expect(text.contains("\nUser-Agent: test/1\n"))
  }

  @Test(arguments: ["X-Bad: 1\r\nX-Other", "", "Ünïcode"])
  func refusesHeadersThatWouldBreakTheRequest(name: String) async throws {
    let error = await #expect(throws: TransportError.self) {
      try await client.send(HTTPRequest(.get, "http://127.0.0.1:1/", headers: [HTTPHeader(name, "x")]))
    }
    #expect(error?.code == .badURL)
  }

  @Test func sendsABodyWithItsLengthAndWithoutExpect() async throws {
    let server = try ScriptedServer(Self.echo)
    let body = [UInt8](repeating: UInt8(ascii: "x"), count: 3 << 20)
    for method in [HTTPRequest.Method.post, .put, .delete] {
      let answer = try await client.send(
        HTTPRequest(
          method, "http://127.0.0.1:\(server.port)/", body: .bytes(body, contentType: "text/plain")), on: .bulk)
      let head = Self.text(answer).prefix(1000)
      #expect(head.hasPrefix("\(method.rawValue) / HTTP/1.1\n"))
      #expect(head.contains("\nContent-Length: \(body.count)\n"))
      #expect(head.contains("\nContent-Type: text/plain\n"))
      #expect(!head.lowercased().contains("\nexpect"))
      #expect(!head.lowercased().contains("transfer-encoding"))
      #expect(Array(answer.body.suffix(body.count)) == body)
    }
  }

  @Test func anEmptyPostSaysSo() async throws {
    let server = try ScriptedServer(Self.echo)
    for body in [HTTPRequest.Body.none, .bytes([], contentType: "")] {
      let text = Self.text(try await client.send(HTTPRequest(.post, "http://127.0.0.1:\(server.port)/", body: body)))
      #expect(text.contains("\nContent-Length: 0\n"))
      #expect(!text.lowercased().contains("content-type"))
    }
  }

  @Test func headHasNoBody() async throws {
    let server = try ScriptedServer { connection in
      while true {
        let request = try connection.readRequest()
        try connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Line: \(request.line)\r\n\r\n")
      }
    }
    for _ in 0..<2 {
      let answer = try await client.send(HTTPRequest(.head, "http://127.0.0.1:\(server.port)/x"))
      #expect(answer.body.isEmpty)
      #expect(answer.header("x-line") == "HEAD /x HTTP/1.1")
    }
    #expect(server.accepted.count == 1)
  }

  @Test func redirectsAndErrorsAreAnswers() async throws {
    let server = try ScriptedServer { connection in
      while true {
        let request = try connection.readRequest()
        let status = request.line.split(separator: " ")[1].dropFirst()
        try connection.respond("\(status) X", ["Location: http://127.0.0.1:1/other"], body: Array("text".utf8))
      }
    }
    for status in [301, 302, 401, 404, 426, 490, 500, 503] {
      let answer = try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/\(status)"))
      #expect(answer.status == status)
      #expect(answer.header("LOCATION") == "http://127.0.0.1:1/other")
      #expect(Self.text(answer) == "text")
    }
  }

  @Test func interimAnswersAreSkipped() async throws {
    let server = try ScriptedServer { connection in
      _ = try connection.readRequest()
      try connection.write("HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Late:  1 \r\n")
      try connection.write("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    }
    let answer = try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/"))
    #expect(Self.text(answer) == "abcde")
    #expect(answer.header("X-Early") == nil)
    #expect(answer.header("X-Late") == "1")
  }

  @Test func keepsItsConnections() async throws {
    let server = try ScriptedServer(Self.echo)
    for _ in 0..<50 { _ = try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/")) }
    #expect(server.accepted.count == 1)
    _ = try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/"), on: .bulk)
    #expect(server.accepted.count == 2)
  }

  @Test func aKeptConnectionThatTheServerHasClosedIsReplaced() async throws {
    let server = try ScriptedServer { connection in
      _ = try connection.readRequest()
      try connection.respond()
    }
    for _ in 0..<20 {
      let body = HTTPRequest.Body.bytes(Array("body".utf8), contentType: "text/plain")
      let answer = try await client.send(HTTPRequest(.post, "http://127.0.0.1:\(server.port)/", body: body))
      #expect(answer.status == 200)
    }
    #expect(server.accepted.count == 20)
  }

  @Test func aBurstStaysWithinTheConnectionLimit() async throws {
    let open = Guarded((now: 0, most: 0))
    let server = try ScriptedServer(backlog: 4) { connection in
      open.withLock {
        $0.now += 1
        $0.most = max($0.most, $0.now)
      }
      defer { open.withLock { $0.now -= 1 } }
      try Self.echo(connection)
    }
    let client = try HTTPClient(.init(connectionsPerLane: 8, connectionsPerHost: 4, proxies: .none))
    // libcurl's own queue of connections would forget requests in one of some thirty rounds.
    for _ in 0..<100 {
      try await withThrowingTaskGroup(of: Int.self) { group in
        for number in 0..<50 {
          group.addTask { try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/\(number)")).status }
        }
        for try await status in group { #expect(status == 200) }
      }
    }
    #expect(open.withLock { $0.most } <= 4)
    #expect(server.accepted.count <= 4)
    await client.shutdown()
  }

  @Test func aSaturatedBulkLaneDoesNotDelayTheControlLane() async throws {
    let busy = EventCounter()
    let server = try ScriptedServer { connection in
      while true {
        let request = try connection.readRequest()
        if request.line.hasPrefix("POST") {
          busy.increment()
          connection.drain()
        }
        try connection.respond()
      }
    }
    let client = try HTTPClient(.init(connectionsPerLane: 4, connectionsPerHost: 4, proxies: .none))
    let url = "http://127.0.0.1:\(server.port)/"
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<50 {
        let body = HTTPRequest.Body.bytes([UInt8](repeating: 0, count: 100_000), contentType: "text/plain")
        group.addTask { _ = try? await client.send(HTTPRequest(.post, url, body: body), on: .bulk) }
      }
      try await busy.reach(4)
      // All uploads hang, and the control lane does not care.
      for _ in 0..<20 { #expect(try await client.send(HTTPRequest(.get, url)).status == 200) }
      #expect(busy.count == 4)
      group.cancelAll()
    }
    await client.shutdown()
  }

  @Test func requestsEndWithTheClient() async throws {
    let server = try ScriptedServer { $0.drain() }
    let client = try HTTPClient(.init(connectionsPerHost: 1, proxies: .none))
    let url = "http://127.0.0.1:\(server.port)/"
    await withTaskGroup(of: TransportError.Code?.self) { group in
      for _ in 0..<5 {
        group.addTask {
          do {
            _ = try await client.send(HTTPRequest(.get, url))
            return nil
          } catch {
            return (error as? TransportError)?.code
          }
        }
      }
      try? await server.accepted.reach(1)
      await client.shutdown()
      for await code in group { #expect(code == .shutDown) }
    }
    let error = await #expect(throws: TransportError.self) { try await client.send(HTTPRequest(.get, url)) }
    #expect(error?.code == .shutDown)
    await client.shutdown()
  }
}
