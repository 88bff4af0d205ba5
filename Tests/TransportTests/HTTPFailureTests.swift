import Support
import TestSupport
import Testing
import Transport

/// Everything that can go wrong ends as a ``TransportError`` that says what and where, or as a strange answer.
@Suite(.timeLimit(.minutes(1)))
struct HTTPFailureTests {
  let client: HTTPClient

  init() throws { client = try HTTPClient(.init(proxies: .none)) }

  private func failure(_ request: HTTPRequest, on lane: HTTPClient.Lane = .control) async throws -> TransportError {
    do {
      let answer = try await client.send(request, on: lane)
      Issue.record("answered with \(answer.status)")
      throw CancellationError()
    } catch let error as TransportError {
      return error
    }
  }

  /// Answers each request with these bytes and closes.
  private func server(_ answer: String) throws -> ScriptedServer {
    try ScriptedServer { connection in
      _ = try connection.readRequest()
      try connection.write(answer)
    }
  }

  @Test(arguments: [
    "", "nonsense", "/path", "ftp://host/", "http://", "http://:80/", "http://host:0/", "http://host:99999/",
    "http://host/a b", "http://host/\n",
  ])
  func badURLs(url: String) async throws {
    #expect(try await failure(HTTPRequest(.get, url)).code == .badURL)
  }

  @Test func unknownHost() async throws {
    let error = try await failure(HTTPRequest(.get, "http://no-such-host.invalid/"))
    #expect(error.code == .resolve)
    #expect(error.message.contains("no-such-host.invalid:80"))
  }

  @Test func nobodyListens() async throws {
    let error = try await failure(HTTPRequest(.get, "http://127.0.0.1:1/"))
    #expect(error.code == .connect)
    #expect(error.message.contains("127.0.0.1:1"))
  }

  @Test(arguments: [
    "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
  ])
  func cutInMidAnswer(answer: String) async throws {
    let server = try server(answer)
    #expect(try await failure(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/")).code == .closed)
  }

  @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
  func resetInMidAnswer(answer: String) async throws {
    let server = try ScriptedServer { connection in
      _ = try connection.readRequest()
      try connection.write(answer)
      connection.reset()
    }
    #expect(try await failure(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/")).code == .closed)
  }

  @Test func garbageIsNoAnswer() async throws {
    let server = try server("SSH-2.0-OpenSSH\r\n\r\n")
    let error = try await failure(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/"))
    #expect(error.code == .protocolViolation)
    #expect(error.message.contains("127.0.0.1:\(server.port)"))
  }

  @Test func headersWithoutEndAreTooLarge() async throws {
    let server = try server("HTTP/1.1 200 OK\r\n" + String(repeating: "A: b\r\n", count: 100_000))
    #expect(try await failure(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/")).code == .responseTooLarge)
  }

  @Test func anAnswerThatIsNotWhatTheCallerWantsArrivesAsItIs() async throws {
    for body in ["<html>proxy error</html>", "{\"half\":", ""] {
      let server = try server("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\(body)")
      let answer = try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(server.port)/"))
      #expect(answer.body == Array(body.utf8))
    }
  }

  @Test func tooLarge() async throws {
    let server = try ScriptedServer { connection in
      while true {
        _ = try connection.readRequest()
        try connection.respond(body: [UInt8](repeating: 0, count: 1000))
      }
    }
    var request = HTTPRequest(.get, "http://127.0.0.1:\(server.port)/")
    request.limits.responseBytes = 1000
    #expect(try await client.send(request).body.count == 1000)
    request.limits.responseBytes = 999
    #expect(try await failure(request).code == .responseTooLarge)
  }

  @Test func aServerThatNeverAnswersIsInactive() async throws {
    let server = try ScriptedServer { $0.drain() }
    var request = HTTPRequest(.get, "http://127.0.0.1:\(server.port)/")
    request.limits.inactivity = .milliseconds(300)
    let start = ContinuousClock.now
    let error = try await failure(request)
    #expect(error.code == .timedOut)
    #expect(error.message.contains("127.0.0.1:\(server.port)"))
    #expect((.milliseconds(300) ..< .seconds(20)).contains(start.duration(to: .now)))
  }

  @Test func aServerThatDoesNotReadIsInactive() async throws {
    let release = Latch<Void>()
    let server = try ScriptedServer { connection in
      _ = try connection.read(10)
      while release.value == nil { connection.socket.waitForEnd() }
    }
    var request = HTTPRequest(
      .post, "http://127.0.0.1:\(server.port)/",
      body: .bytes([UInt8](repeating: 0, count: 50 << 20), contentType: "text/plain"))
    request.limits.inactivity = .milliseconds(300)
    #expect(try await failure(request, on: .bulk).code == .timedOut)
    release.open(with: ())
    server.stop()
  }

  @Test func aSlowAnswerIsNotInactive() async throws {
    let proxyTarget = try ScriptedServer { connection in
      _ = try connection.readRequest()
      try connection.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
      for _ in 0..<6 {
        connection.socket.pause(.milliseconds(300))
        try connection.write("x")
      }
    }
    var request = HTTPRequest(.get, "http://127.0.0.1:\(proxyTarget.port)/")
    request.limits.inactivity = .milliseconds(1500)
    #expect(try await client.send(request).body.count == 6)
    request.limits.total = .milliseconds(300)
    #expect(try await failure(request).code == .timedOut)
  }

  @Test func theTotalLimitCountsTheWaitForAConnection() async throws {
    let server = try ScriptedServer { $0.drain() }
    let client = try HTTPClient(.init(connectionsPerHost: 1, proxies: .none))
    var request = HTTPRequest(.get, "http://127.0.0.1:\(server.port)/")
    request.limits.total = .milliseconds(300)
    await withTaskGroup(of: TransportError.Code?.self) { group in
      for _ in 0..<3 {
        group.addTask { [request] in
          do {
            _ = try await client.send(request)
            return nil
          } catch {
            return (error as? TransportError)?.code
          }
        }
      }
      for await code in group { #expect(code == .timedOut) }
    }
    #expect(server.accepted.count <= 3)
    await client.shutdown()
  }

  @Test func anAddressThatNeverAnswersHitsTheConnectLimit() async throws {
    // A listener with a full backlog drops further SYNs.
    let listener = try SilentListener()
    var request = HTTPRequest(.get, "http://127.0.0.1:\(listener.port)/")
    request.limits.connect = .milliseconds(400)
    let start = ContinuousClock.now
    #expect(try await failure(request).code == .timedOut)
    // libcurl counts in whole milliseconds.
    #expect((.milliseconds(390) ..< .seconds(20)).contains(start.duration(to: .now)))
  }
}
