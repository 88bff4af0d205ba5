import HTTPServer
import Support
import Testing

@Suite(.timeLimit(.minutes(1)))
struct WebSocketTests {
  private static let echo: WebServer.Handler = { request in
    guard request.path == "/ws" else { return .redirect(to: "/ws") }
    return .webSocket { socket in
      for try await message in socket.messages { try await socket.send("echo \(message)") }
    }
  }

  @Test func acceptsOnALaterRequestOfAConnection() async throws {
    try await WebServer.with(handler: Self.echo) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        _ = try await client.response()
        try await client.send("GET /ws HTTP/1.1\r\nHost: x\r\n\(RawClient.upgrade)\r\n")
        let head = try await client.read(through: "\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 101 "))
        // The example of RFC 6455, 1.3.
        #expect(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(!head.lowercased().contains("sec-websocket-extensions"))
        try await client.sendFrame(0x81, "hi".utf8)
        #expect(try await client.readFrame() == (0x81, Array("echo hi".utf8)))
        try await client.sendFrame(0x88, [0x03, 0xE8])
        #expect(try await client.readClose() == 1000)
      }
    }
  }

  @Test(arguments: [
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", RawClient.upgrade,
  ])
  func answersAnUpgradeThatIsDeclined(_ fields: String) async throws {
    try await WebServer.with(handler: Self.echo) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET /elsewhere HTTP/1.1\r\nHost: x\r\n\(fields)\r\n")
        let answer = try await client.readToEnd()
        #expect(answer.hasPrefix("HTTP/1.1 302 Found\r\n"))
        #expect(answer.contains("Location: /ws\r\n"))
      }
    }
  }

  @Test func answersAnOrdinaryRequestToASocketWith426() async throws {
    try await WebServer.with(handler: Self.echo) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 426 "))
      }
    }
  }

  @Test func answersPingsAndJoinsFragments() async throws {
    try await WebServer.with(handler: Self.echo) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.openWebSocket()
        try await client.sendFrame(0x01, "a".utf8)
        try await client.sendFrame(0x89, "ping".utf8)
        #expect(try await client.readFrame() == (0x8A, Array("ping".utf8)))
        try await client.sendFrame(0x00, "b".utf8)
        try await client.sendFrame(0x80, "c".utf8)
        #expect(try await client.readFrame() == (0x81, Array("echo abc".utf8)))
        let large = String(repeating: "x", count: 1 << 20)
        try await client.sendFrame(0x81, large.utf8)
        #expect(try await client.readFrame().payload.count == large.utf8.count + 5)
      }
    }
  }

  @Test func keepsSilentOnPingsIfTold() async throws {
    let handler: WebServer.Handler = { _ in
      .webSocket(answersPings: false) { socket in
        for try await message in socket.messages { try await socket.send(message) }
      }
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.openWebSocket()
        try await client.sendFrame(0x89, "ping".utf8)
        try await client.sendFrame(0x81, "text".utf8)
        #expect(try await client.readFrame() == (0x81, Array("text".utf8)))
      }
    }
  }

  struct Violation: Sendable, CustomTestStringConvertible {
    let name: String
    let frames: [(first: UInt8, payload: [UInt8])]
    var isMasked = true
    let code: Int
    var testDescription: String { name }
  }

  static let violations = [
    Violation(name: "unmasked", frames: [(0x81, [65])], isMasked: false, code: 1002),
    Violation(name: "reserved bit", frames: [(0xC1, [65])], code: 1002),
    Violation(name: "unknown opcode", frames: [(0x83, [65])], code: 1002),
    Violation(name: "continuation of nothing", frames: [(0x80, [65])], code: 1002),
    Violation(name: "text within a message", frames: [(0x01, [65]), (0x81, [65])], code: 1002),
    Violation(name: "fragmented ping", frames: [(0x09, [65])], code: 1002),
    Violation(name: "binary", frames: [(0x82, [65])], code: 1003),
    Violation(name: "not UTF-8", frames: [(0x81, [0xC3, 0x28])], code: 1007),
    Violation(name: "large frame", frames: [(0x81, [UInt8](repeating: 65, count: 2000))], code: 1009),
    Violation(
      name: "large message",
      frames: Array(repeating: (0x01, [UInt8](repeating: 65, count: 600)), count: 1)
        + [(0x00, [UInt8](repeating: 65, count: 600))], code: 1009),
    Violation(name: "half a close code", frames: [(0x88, [3])], code: 1002),
  ]

  @Test(arguments: violations)
  func closesWithTheCodeOfTheBrokenRule(_ violation: Violation) async throws {
    var limits = ServerLimits()
    limits.messageBytes = 1000
    try await WebServer.with(limits: limits, handler: Self.echo) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.openWebSocket()
        for frame in violation.frames {
          try await client.sendFrame(frame.first, frame.payload, isMasked: violation.isMasked)
        }
        #expect(try await client.readClose() == violation.code)
      }
    }
  }

  @Test func closesFromTheServerAndWaitsForTheAnswer() async throws {
    let code = AsyncStream<UInt16?>.makeStream()
    let handler: WebServer.Handler = { _ in
      .webSocket { socket in
        try await socket.close(code: 4001, reason: "enough")
        await #expect(throws: WebSocket.Closed.self) { try await socket.send("late") }
        for try await _ in socket.messages {}
        code.continuation.yield(socket.closeCode)
      }
    }
    try await WebServer.with(handler: handler) { server in
      var codes = code.stream.makeAsyncIterator()
      try await RawClient.connect(to: server.port) { client in
        try await client.openWebSocket()
        #expect(try await client.readFrame() == (0x88, [0x0F, 0xA1] + Array("enough".utf8)))
        try await client.sendFrame(0x81, "crossed".utf8)
        try await client.sendFrame(0x88, [0x0F, 0xA1])
        #expect(try await client.readToEnd() == "")
        #expect(await codes.next() == 4001)
      }
      // A client that just leaves.
      try await RawClient.connect(to: server.port) { try await $0.openWebSocket() }
      #expect(await codes.next() == .some(nil))
    }
  }

  @Test func doesNotWaitForeverForTheClosingHandshake() async throws {
    var limits = ServerLimits()
    limits.closing = .milliseconds(50)
    try await WebServer.with(limits: limits, handler: { _ in .webSocket { _ in } }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.openWebSocket()
        #expect(try await client.readClose() == 1000)
      }
    }
  }

  @Test func sendsFragmentsPingsAndResets() async throws {
    let handler: WebServer.Handler = { _ in
      .webSocket { socket in
        try await socket.send(fragments: ["a", "b", "c"])
        try await socket.ping([1])
        for try await _ in socket.messages { throw AbortConnection.reset }
      }
    }
    try await WebServer.with(handler: handler) { server in
      await #expect(throws: (any Error).self) {
        try await RawClient.connect(to: server.port) { client in
          try await client.openWebSocket()
          #expect(try await client.readFrame() == (0x01, [97]))
          #expect(try await client.readFrame() == (0x00, [98]))
          #expect(try await client.readFrame() == (0x80, [99]))
          #expect(try await client.readFrame() == (0x89, [1]))
          try await client.sendFrame(0x81, [65])
          _ = try await client.readToEnd()
        }
      }
    }
  }

  @Test func tellsAHandlersErrorAs1011AndAStopAs1001() async throws {
    struct Broken: Error {}
    let opened = Gate()
    let server = try await WebServer.start { request in
      .webSocket { socket in
        if request.path == "/broken" { throw Broken() }
        opened.open()
        for try await _ in socket.messages {}
      }
    }
    try await RawClient.connect(to: server.port) { client in
      try await client.openWebSocket("/broken")
      let frame = try await client.readFrame()
      #expect(frame == (0x88, [0x03, 0xF3]))
    }
    try await RawClient.connect(to: server.port) { client in
      try await client.openWebSocket()
      await opened.wait()
      async let stopped: Void = server.stop(grace: .seconds(30))
      let frame = try await client.readFrame()
      #expect(frame == (0x88, [0x03, 0xE9]))
      try await client.sendFrame(0x88, [0x03, 0xE9])
      #expect(try await client.readToEnd() == "")
      await stopped
    }
  }

  @Test func opensASocketThatWasAskedForBeforeTheStopAndClosesItWith1001() async throws {
    let asked = Gate()
    let goOn = Gate()
    let server = try await WebServer.start { _ in
      asked.open()
      await goOn.wait()
      return .webSocket { socket in for try await _ in socket.messages {} }
    }
    try await RawClient.connect(to: server.port) { idle in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\(RawClient.upgrade)\r\n")
        await asked.wait()
        async let stopped: Void = server.stop(grace: .seconds(30))
        // The connections have heard of the stop.
        #expect(try await idle.readToEnd() == "")
        goOn.open()
        #expect(try await client.read(through: "\r\n\r\n").hasPrefix("HTTP/1.1 101 "))
        let frame = try await client.readFrame()
        #expect(frame == (0x88, [0x03, 0xE9]))
        try await client.sendFrame(0x88, [0x03, 0xE9])
        #expect(try await client.readToEnd() == "")
        await stopped
      }
    }
  }
}
