import Support
import TestSupport
import Testing

@testable import Transport

/// An open connection: messages, limits, ends.
@Suite(.timeLimit(.minutes(1)))
struct WebSocketTests {
  let client: WebSocketClient

  init() throws { client = try WebSocketClient(proxies: .none) }

  static func request(_ server: ScriptedServer, _ change: (inout WebSocketRequest) -> Void = { _ in })
    -> WebSocketRequest
  {
    var request = WebSocketRequest("ws://127.0.0.1:\(server.port)/ws/1")
    request.closeTimeout = .seconds(2)
    change(&request)
    return request
  }

  static func echo(_ connection: ScriptedConnection) throws {
    try connection.acceptWebSocket()
    while true { try connection.send(try connection.receiveMessage()) }
  }

  /// Connects to a server that runs `script` after the upgrade.
  private func connect(
    _ change: (inout WebSocketRequest) -> Void = { _ in },
    _ script: @escaping @Sendable (ScriptedConnection) throws -> Void
  ) async throws -> (WebSocketConnection, ScriptedServer) {
    let server = try ScriptedServer { connection in
      try connection.acceptWebSocket()
      try script(connection)
    }
    return (try await client.connect(Self.request(server, change)), server)
  }

  // MARK: Messages

  @Test func aThousandEchoes() async throws {
    let server = try ScriptedServer(Self.echo)
    let connection = try await client.connect(Self.request(server))
    var messages = connection.messages.makeAsyncIterator()
    for number in 0..<1000 {
      try await connection.send("message \(number)")
      #expect(await messages.next() == "message \(number)")
    }
    await connection.close()
  }

  @Test func messagesOfEverySizeSurviveTheRoundTrip() async throws {
    let server = try ScriptedServer(Self.echo)
    let connection = try await client.connect(Self.request(server))
    var messages = connection.messages.makeAsyncIterator()
    for size in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 1 << 20, 10 << 20] {
      let text = String(repeating: "x", count: size)
      try await connection.send(text)
      #expect(await messages.next() == text, "\(size) bytes")
    }
    await connection.close()
  }

  @Test func manySendersKeepTheirMessagesWhole() async throws {
    let server = try ScriptedServer(Self.echo)
    let connection = try await client.connect(Self.request(server))
    var expected: Set<String> = []
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<100 {
        let text = String(repeating: "\(number) ", count: 1000)
        expected.insert(text)
        group.addTask { try await connection.send(text) }
      }
      try await group.waitForAll()
    }
    var received: Set<String> = []
    for await message in connection.messages {
      received.insert(message)
      if received.count == 100 { break }
    }
    #expect(received == expected)
    await connection.close()
  }

  @Test func fragmentsMakeOneMessageAlsoAroundAPing() async throws {
    let (connection, server) = try await connect { server in
      try server.send(.text, Array("Grüß".utf8.prefix(3)), isFinal: false)
      try server.send(.continuation, [], isFinal: false)
      try server.send(.ping, Array("?".utf8))
      try server.send(.continuation, Array("Grüß".utf8.dropFirst(3)))
      let pong = try server.receiveFrame()
      try server.send("\(pong.opcode) \(pong.text)")
      server.drain()
    }
    var messages = connection.messages.makeAsyncIterator()
    #expect(await messages.next() == "Grüß")
    #expect(await messages.next() == "pong ?")
    await connection.close()
    server.stop()
  }

  @Test func binaryMessagesAreDropped() async throws {
    let (connection, server) = try await connect { server in
      try server.send(.binary, [1, 2, 3], isFinal: false)
      try server.send(.continuation, [0xff])
      try server.send("text")
      server.drain()
    }
    var messages = connection.messages.makeAsyncIterator()
    #expect(await messages.next() == "text")
    await connection.close()
    server.stop()
  }

  /// The sizes are added to what is there already: no sum may overflow.
  @Test(arguments: [UInt64(Int64.max), UInt64(Int64.max) - 600, .max, 1 << 63, 1 << 40], [false, true])
  func anAnnouncedSizeOfAnyNumberOfBytesEndsTheConnection(size: UInt64, isFragmented: Bool) async throws {
    let (connection, _) = try await connect({ $0.maxMessageBytes = 1000 }) { server in
      if isFragmented { try server.send(.text, [UInt8](repeating: 0x78, count: 600), isFinal: false) }
      let length = (0..<8).map { UInt8(truncatingIfNeeded: size >> (56 - 8 * $0)) }
      try server.write([isFragmented ? 0x80 : 0x81, 127] + length + [UInt8](repeating: 0x78, count: 70_000))
      // No number of the protocol's has its first bit set: libwebsockets ends the connection at once.
      if size < 1 << 63, try server.receiveFrame().closeCode == 1009 { try server.sendClose(1009) }
    }
    var messages = connection.messages.makeAsyncIterator()
    #expect(await messages.next() == nil)
    #expect(await connection.closure().error != nil)
  }

  @Test func tooLargeAMessageClosesWith1009() async throws {
    for isFragmented in [false, true] {
      let told = Latch<Int>()
      let (connection, _) = try await connect({ $0.maxMessageBytes = 1000 }) { server in
        try server.send(String(repeating: "x", count: 1000))
        if isFragmented {
          try server.send(.text, [UInt8](repeating: 0x78, count: 600), isFinal: false)
          try server.send(.continuation, [UInt8](repeating: 0x78, count: 401), isFinal: false)
        } else {
          try server.send(String(repeating: "x", count: 1001))
        }
        told.open(with: try server.receiveFrame().closeCode ?? 0)
        try server.sendClose(1009)
      }
      var messages = connection.messages.makeAsyncIterator()
      #expect(await messages.next()?.utf8.count == 1000)
      #expect(await messages.next() == nil)
      #expect(try await told.reached() == 1009)
      let end = await connection.closure()
      #expect(end.code == 1009)
      #expect(end.error?.code == .responseTooLarge)
    }
  }

  @Test(arguments: [[0xff, 0xfe], [0x61, 0xc3], [0xed, 0xa0, 0x80]] as [[UInt8]])
  func invalidUTF8ClosesWith1007(bytes: [UInt8]) async throws {
    let told = Latch<Int>()
    let (connection, _) = try await connect { server in
      try server.send(.text, bytes)
      told.open(with: try server.receiveFrame().closeCode ?? 0)
      try server.sendClose(1007)
    }
    #expect(try await told.reached() == 1007)
    let end = await connection.closure()
    #expect(end.code == 1007)
    #expect(end.error?.code == .protocolViolation)
  }

  @Test func anInboxThatIsNotEmptiedOverflows() async throws {
    let (connection, _) = try await connect({ $0.inboxLimit = 10 }) { server in
      for number in 0..<1000 { try server.send("\(number)") }
      server.drain()
    }
    let end = await connection.closure()
    #expect(end.error?.code == .inboxOverflow)
    var received: [String] = []
    for await message in connection.messages { received.append(message) }
    #expect(received == (0..<10).map { "\($0)" })
  }

  @Test func theInboxIsBoundedInBytesToo() async throws {
    let (connection, _) = try await connect({ $0.maxMessageBytes = 1000 }) { server in
      for _ in 0..<1000 { try server.send(String(repeating: "x", count: 1000)) }
      server.drain()
    }
    #expect(await connection.closure().error?.code == .inboxOverflow)
    var count = 0
    for await _ in connection.messages { count += 1 }
    #expect(count == 4)
  }

  @Test func aConsumerThatKeepsUpTakesAnyNumber() async throws {
    let (connection, server) = try await connect({ $0.inboxLimit = 2 }) { server in
      for number in 0..<500 {
        try server.send("\(number)")
        _ = try server.receiveMessage()
      }
      server.drain()
    }
    var messages = connection.messages.makeAsyncIterator()
    for number in 0..<500 {
      #expect(await messages.next() == "\(number)")
      try await connection.send("next")
    }
    await connection.close()
    server.stop()
  }

  @Test func aCancelledConsumerLosesNothing() async throws {
    let inbox = WebSocketInbox(countLimit: 10, byteLimit: 1000)
    let messages = WebSocketMessages(inbox: inbox)
    for _ in 0..<200 {
      let task = Task {
        var iterator = messages.makeAsyncIterator()
        return await iterator.next()
      }
      let adder = Task { inbox.add("x") }
      task.cancel()
      let taken = await task.value
      #expect(await adder.value)
      if taken == nil {
        var iterator = messages.makeAsyncIterator()
        #expect(await iterator.next() == "x")
      }
    }
  }

  // MARK: Ends

  @Test func theServerCloses() async throws {
    for (code, reason) in [(1000, ""), (1008, "only one connection per worker"), (1001, "ü")] as [(UInt16, String)] {
      let (connection, _) = try await connect { server in
        try server.send("last")
        try server.sendClose(code, reason)
        server.drain()
      }
      var messages = connection.messages.makeAsyncIterator()
      #expect(await messages.next() == "last")
      #expect(await messages.next() == nil)
      #expect(await connection.closure() == WebSocketClose(code: code, reason: reason))
      let error = await #expect(throws: TransportError.self) { try await connection.send("too late") }
      #expect(error?.code == .closed)
    }
  }

  @Test func theServerClosesWithoutACode() async throws {
    let (connection, _) = try await connect { server in
      try server.send(.close, [])
      server.drain()
    }
    #expect(await connection.closure() == WebSocketClose())
  }

  @Test(arguments: [false, true])
  func theConnectionIsLost(isReset: Bool) async throws {
    let (connection, server) = try await connect { server in
      if isReset { server.reset() }
    }
    let end = await connection.closure()
    #expect(end.code == nil)
    #expect(end.error?.code == .closed)
    #expect(end.error?.message.contains("127.0.0.1:\(server.port)") == true)
  }

  @Test func closingSendsWhatWaitsAndTheCode() async throws {
    let told = Latch<[String]>()
    let (connection, _) = try await connect { server in
      var heard: [String] = []
      while true {
        let frame = try server.receiveFrame()
        if frame.opcode == .close {
          heard.append("\(frame.closeCode ?? 0) \(String(decoding: frame.payload.dropFirst(2), as: UTF8.self))")
          try server.send(.close, frame.payload)
          break
        }
        heard.append(frame.text)
      }
      told.open(with: heard)
    }
    let sending = Task { try await connection.send("goodbye") }
    try await sending.value
    await connection.close(code: 4000, reason: "done")
    #expect(try await told.reached() == ["goodbye", "4000 done"])
    #expect(await connection.closure() == WebSocketClose(code: 4000, reason: "done"))
    await connection.close()
  }

  @Test func aLongReasonIsCut() async throws {
    let told = Latch<Int>()
    let (connection, _) = try await connect { server in
      let frame = try server.receiveFrame()
      told.open(with: frame.payload.count)
      try server.send(.close, Array(frame.payload.prefix(2)))
    }
    await connection.close(code: 1000, reason: String(repeating: "ü", count: 100))
    #expect(try await told.reached() == 124)
  }

  @Test func aPeerThatDoesNotAnswerTheCloseIsLeft() async throws {
    let (connection, server) = try await connect({ $0.closeTimeout = .milliseconds(300) }) { $0.socket.waitForEnd() }
    let start = ContinuousClock.now
    await connection.close()
    #expect((.milliseconds(250) ..< .seconds(20)).contains(start.duration(to: .now)))
    server.stop()
  }

  @Test func aPeerThatDoesNotReadIsLeft() async throws {
    let (connection, server) = try await connect({ $0.closeTimeout = .milliseconds(300) }) { $0.socket.waitForEnd() }
    let sending = Task {
      while true { try await connection.send(String(repeating: "x", count: 1 << 20)) }
    }
    try await connection.untilBlocked()
    let start = ContinuousClock.now
    await connection.close()
    #expect(start.duration(to: .now) < .seconds(20))
    await #expect(throws: TransportError.self) { try await sending.value }
    server.stop()
  }

  @Test func aSilentPeerIsDeadAfterItsLimit() async throws {
    let start = ContinuousClock.now
    let (connection, server) = try await connect({
      $0.pingAfter = .seconds(1)
      $0.hangUpAfter = .seconds(2)
    }) { $0.socket.waitForEnd() }
    let end = await connection.closure()
    #expect((.seconds(2) ..< .seconds(20)).contains(start.duration(to: .now)))
    #expect(end.error?.code == .timedOut)
    #expect(end.error?.message.contains("127.0.0.1:\(server.port)") == true)
    server.stop()
  }

  @Test func aPeerThatAnswersPingsLives() async throws {
    let pings = EventCounter()
    let (connection, server) = try await connect({
      $0.pingAfter = .seconds(1)
      $0.hangUpAfter = .seconds(2)
    }) { server in
      while true {
        let frame = try server.receiveFrame()
        guard frame.opcode == .ping else { return }
        pings.increment()
        try server.send(.pong, frame.payload)
      }
    }
    try await pings.reach(3)
    try await connection.send("alive")
    server.stop()
  }

  @Test func waitingForTheEndCanBeCancelled() async throws {
    let server = try ScriptedServer(Self.echo)
    let connection = try await client.connect(Self.request(server))
    let task = Task { await connection.closure() }
    task.cancel()
    #expect(await task.value.error?.code == .shutDown)
    await connection.close()
  }

  @Test func manyConnectionsAtOnce() async throws {
    let server = try ScriptedServer(Self.echo)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<64 {
        group.addTask {
          let connection = try await client.connect(Self.request(server))
          var messages = connection.messages.makeAsyncIterator()
          for _ in 0..<20 {
            try await connection.send("\(number)")
            #expect(await messages.next() == "\(number)")
          }
          await connection.close()
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func theLoopFreesEveryConnection() async throws {
    let server = try ScriptedServer(Self.echo)
    weak var weakConnection: WebSocketConnection?
    do {
      let connection = try await client.connect(Self.request(server))
      weakConnection = connection
      await connection.close()
    }
    for _ in 0..<100 where weakConnection != nil { _ = try await client.connect(Self.request(server)).close() }
    #expect(weakConnection == nil)
  }
}

extension WebSocketConnection {
  /// Waits until a message is stuck because the peer does not read.
  fileprivate func untilBlocked() async throws {
    var waiting: OutgoingMessage?
    var turns = 0
    // The loop takes every message at once as long as the socket has room.
    while turns < 50 {
      if let first = outgoing.first, first === waiting { turns += 1 } else { turns = 0 }
      waiting = outgoing.first
      try await Task.sleep(for: .milliseconds(2))
    }
  }
}
