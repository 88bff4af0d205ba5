import HTTPServer
import Support
import Testing

@Suite(.timeLimit(.minutes(1)))
struct WebServerTests {
  @Test func answersRequestsInTurnOnOneConnection() async throws {
    try await WebServer.with(handler: { .text("\($0.method) \($0.path)") }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        let first = try await client.response()
        #expect(first.head.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(first.body == "GET /a")
        #expect(try await client.response().body == "GET /b")
        try await client.send("GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(try await client.readToEnd().hasSuffix("\r\n\r\nGET /c"))
      }
    }
  }

  @Test func decodesTheTarget() async throws {
    let handler: WebServer.Handler = { request in
      let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "|")
      return .text("\(request.rawPath) \(request.path) \(query)")
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        for (target, expected) in [
          ("/a%20b/c+d?x=1&y=%C3%A4+b&x=2&z", "/a%20b/c+d /a b/c+d x=1|y=ä b|x=2|z="),
          ("http://host:1/p?q=a=b", "/p /p q=a=b"), ("http://host", "/ / "), ("http://host?a=1", "/ / a=1"),
          ("/%zz%4", "/%zz%4 /%zz%4 "), ("/?%26=%3D&&", "/ / &=="), ("/%ff", "/%ff /\u{FFFD} "),
        ] {
          try await client.send("GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
          #expect(try await client.response().body == expected)
        }
      }
    }
  }

  @Test func sendsNoBodyToHEADAndFramesOldClientsByClosing() async throws {
    let handler: WebServer.Handler = { request in
      request.path == "/stream" ? .stream { try await $0.write("streamed") } : .text("hello")
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.read(through: "\r\n\r\n").lowercased().contains("content-length: 5\r\n"))
        #expect(try await client.response().body == "hello")
        try await client.send("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        _ = try await client.read(through: "\r\n\r\n")
        #expect(try await client.readToEnd().contains("streamed") == false)
      }
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET /stream HTTP/1.0\r\n\r\n")
        let answer = try await client.readToEnd()
        #expect(answer.hasPrefix("HTTP/1.0 200 OK\r\n"))
        #expect(answer.hasSuffix("\r\n\r\nstreamed"))
      }
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(try await client.response().head.lowercased().contains("connection: keep-alive"))
        try await client.send("GET / HTTP/1.0\r\n\r\n")
        #expect(try await client.readToEnd().hasSuffix("hello"))
      }
    }
  }

  @Test(arguments: [
    "nonsense\r\n\r\n", "GET / HTTP/1.1\r\nBad Header\r\n\r\n", "\0\u{1}\u{2}\u{3}\r\n\r\n", "GET / HTTP/3.0\r\n\r\n",
  ])
  func answersWhatIsNotHTTPWith400(_ input: String) async throws {
    try await WebServer.with(handler: { _ in .text("ok") }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send(input)
        #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
      }
    }
  }

  @Test(arguments: [
    "Content-Length: 3\r\nTransfer-Encoding: chunked", "Content-Length: 3\r\nContent-Length: 4", "Content-Length: -1",
    "Transfer-Encoding: chunked, identity", "Content-Length: 3, 3",
  ])
  func refusesFramingThatCouldBeReadInTwoWays(_ fields: String) async throws {
    try await WebServer.with(handler: { _ in .text("ok") }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\n\(fields)\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n")
        let answer = try await client.readToEnd()
        #expect(answer.hasPrefix("HTTP/1.1 400 "))
        #expect(!answer.contains("200 OK"))
      }
    }
  }

  @Test(arguments: ["/short", "/long", "/bytes"])
  func closesAfterAResponseOfAnotherLengthThanPromised(_ path: String) async throws {
    let handler: WebServer.Handler = { request in
      if request.path == "/bytes" { return ServerResponse(headers: ["Content-Length": "5"], body: [65]) }
      return .stream(headers: ["Content-Length": "5"]) {
        try await $0.write(request.path == "/short" ? "abc" : "abcdefg")
      }
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\nGET \(path) HTTP/1.1\r\nHost: x\r\n\r\n")
        let answer = try await client.readToEnd()
        #expect(answer.ranges(of: "HTTP/1.1").count == 1)
      }
    }
  }

  @Test func survivesRandomBytes() async throws {
    var random = SystemRandomNumberGenerator()
    try await WebServer.with(handler: { _ in .text("ok") }) { server in
      for _ in 0..<50 {
        let bytes = (0..<64).map { _ in UInt8.random(in: 0...255, using: &random) }
        try await RawClient.connect(to: server.port) { try await $0.send(Array("GET /".utf8) + bytes) }
      }
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.response().body == "ok")
      }
    }
  }

  @Test func turnsErrorsIntoResponses() async throws {
    struct Broken: Error {}
    let seen = Guarded(0)
    let server = try await WebServer.start(onError: { _ in seen.withLock { $0 += 1 } }) { request in
      if request.path == "/400" { throw RequestError.malformed("no such thing") }
      throw Broken()
    }
    try await RawClient.connect(to: server.port) { client in
      try await client.send("GET /400 HTTP/1.1\r\nHost: x\r\n\r\n")
      let refusal = try await client.response()
      #expect(refusal.head.hasPrefix("HTTP/1.1 400 "))
      #expect(refusal.body == "malformed request: no such thing\n")
      try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      #expect(try await client.response().head.hasPrefix("HTTP/1.1 500 "))
      #expect(seen.withLock { $0 } == 1)
    }
    await server.stop()
  }

  @Test func keepsHeaderValuesOnOneLine() async throws {
    let handler: WebServer.Handler = { _ in
      var response = ServerResponse(status: 204)
      response.headers.add("X-Note", "a\r\nX-Evil: b")
      return response
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        let head = try await client.read(through: "\r\n\r\n")
        #expect(head.contains("X-Note: a  X-Evil: b\r\n"))
      }
    }
  }

  @Test func cancelsTheHandlerWhenTheClientLeaves() async throws {
    let started = Gate()
    let cancelled = Gate()
    let handler: WebServer.Handler = { _ in
      started.open()
      await untilCancelled()
      cancelled.open()
      return .text("too late")
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await started.wait()
      }
      await cancelled.wait()
    }
  }

  @Test func streamsInChunksAndShowsAnEarlyEnd() async throws {
    let handler: WebServer.Handler = { request in
      switch request.path {
      case "/ok":
        .stream {
          try await $0.write("one")
          try await $0.write("two")
        }
      case "/short":
        .stream(headers: ["Content-Length": "1000"]) {
          try await $0.write("half")
          throw AbortConnection.close
        }
      default:
        .events {
          try await $0.sendEvent("a\nb", name: "tick", id: "7")
          try await $0.sendEvent("c")
        }
      }
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.read(through: "\r\n\r\n").contains("transfer-encoding: chunked"))
        #expect(try await client.read(through: "0\r\n\r\n") == "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        try await client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.read(through: "\r\n\r\n").contains("Content-Type: text/event-stream\r\n"))
        let events = try await client.read(through: "0\r\n\r\n")
        #expect(events.contains("\r\nevent: tick\nid: 7\ndata: a\ndata: b\n\n\r\n"))
        #expect(events.contains("\r\ndata: c\n\n\r\n"))
        try await client.send("GET /short HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.readToEnd().hasSuffix("\r\n\r\nhalf"))
      }
    }
  }

  @Test func resetsOnPurpose() async throws {
    let handler: WebServer.Handler = { _ in
      .stream {
        try await $0.write("half")
        throw AbortConnection.reset
      }
    }
    try await WebServer.with(handler: handler) { server in
      let error = await #expect(throws: (any Error).self) {
        try await RawClient.connect(to: server.port) { client in
          try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
          _ = try await client.readToEnd()
        }
      }
      #expect("\(String(describing: error))".contains("reset"))
    }
  }

  @Test func sendsLargeResponsesCompletelyBeforeClosing() async throws {
    let body = [UInt8](repeating: 65, count: 8 << 20)
    try await WebServer.with(handler: { _ in ServerResponse(body: body) }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        _ = try await client.read(through: "\r\n\r\n")
        #expect(try await client.readToEnd().utf8.count == body.count)
      }
    }
  }
}
