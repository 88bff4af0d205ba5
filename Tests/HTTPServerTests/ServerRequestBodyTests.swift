import HTTPServer
import Support
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1)))
struct ServerRequestBodyTests {
  private static let sum: WebServer.Handler = { request in
    .text("\(try await request.body.collect(upTo: 1 << 24).count)")
  }

  @Test func collectsSizedAndChunkedBodies() async throws {
    try await WebServer.with(handler: Self.sum) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        #expect(try await client.response().body == "5")
        try await client.send(
          "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
        #expect(try await client.response().body == "7")
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 400 "))
      }
    }
  }

  @Test func neverTakesAnUnreadBodyForARequest() async throws {
    let paths = Guarded<[String]>([])
    let handler: WebServer.Handler = { request in
      paths.withLock { $0.append(request.path) }
      return .text("unread", status: 403)
    }
    let smuggled = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send(
          "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \(smuggled.utf8.count)\r\n\r\n\(smuggled)")
        #expect(try await client.response().body == "unread")
        try await client.send("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.response().body == "unread")
      }
    }
    #expect(paths.withLock { $0 } == ["/a", "/b"])
  }

  @Test func closesInsteadOfDrainingALargeBodyYetDeliversTheResponse() async throws {
    try await WebServer.with(handler: { _ in .text("no", status: 403) }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        try await client.send([UInt8](repeating: 0, count: 1 << 20))
        let answer = try await client.readToEnd()
        #expect(answer.hasPrefix("HTTP/1.1 403 "))
        #expect(answer.contains("Connection: close\r\n"))
        #expect(answer.hasSuffix("\r\n\r\nno"))
      }
    }
  }

  @Test func asksForTheBodyOnlyWhenItIsRead() async throws {
    let handler: WebServer.Handler = { request in
      request.path == "/read" ? try await Self.sum(request) : .text("no", status: 403)
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        let head = "HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        try await client.send("POST /read \(head)")
        #expect(try await client.read(through: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
        try await client.send("abc")
        #expect(try await client.response().body == "3")
        try await client.send("POST /refuse \(head)")
        #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 403 "))
      }
    }
  }

  @Test func limitsTheBody() async throws {
    var limits = ServerLimits()
    limits.bodyBytes = 10
    let calls = Guarded(0)
    let handler: WebServer.Handler = { request in
      calls.withLock { $0 += 1 }
      return try await Self.sum(request)
    }
    try await WebServer.with(limits: limits, handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789")
        #expect(try await client.response().body == "10")
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
        #expect(try await client.read(through: "\r\n").hasPrefix("HTTP/1.1 413 "))
      }
      #expect(calls.withLock { $0 } == 1)
      try await RawClient.connect(to: server.port) { client in
        try await client.send(
          "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n")
        #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 413 "))
      }
    }
  }

  @Test func readsFromTheClientOnlyAsFastAsTheHandler() async throws {
    let goOn = Gate()
    let size = 64 << 20
    let handler: WebServer.Handler = { request in
      await goOn.wait()
      var count = 0
      for try await chunk in request.body { count += chunk.count }
      return .text("\(count)")
    }
    try await WebServer.with(handler: handler) { server in
      let socket = try TCPSocket(port: server.port)
      let sent = Guarded(0)
      let answer = AsyncStream<String>.makeStream()
      try ServiceThread.start(name: "sender") {
        try? socket.write(Array("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \(size)\r\n\r\n".utf8))
        let piece = [UInt8](repeating: 1, count: 1 << 16)
        for _ in 0..<(size >> 16) {
          try? socket.write(piece)
          sent.withLock { $0 += piece.count }
        }
        var response: [UInt8] = []
        while !String(decoding: response, as: UTF8.self).hasSuffix("\(size)"), let bytes = try? socket.read(),
          !bytes.isEmpty
        { response += bytes }
        answer.continuation.yield(String(decoding: response, as: UTF8.self))
        answer.continuation.finish()
      }
      // The kernel takes no more when the buffers of both ends are full; the gate opens after that has lasted a while.
      var last = 0
      repeat {
        last = sent.withLock { $0 }
        try await Task.sleep(for: .milliseconds(300))
      } while last == 0 || sent.withLock { $0 } != last
      #expect(last < size / 2)
      goOn.open()
      #expect(await answer.stream.first { _ in true }?.hasSuffix("\r\n\r\n\(size)") == true)
    }
  }

  @Test func endsTheBodyWithAnErrorWhenTheClientLeaves() async throws {
    let outcome = AsyncStream<String>.makeStream()
    let started = Gate()
    let handler: WebServer.Handler = { request in
      started.open()
      do {
        outcome.continuation.yield("\(try await request.body.collect().count)")
      } catch {
        outcome.continuation.yield("\(error)")
        throw error
      }
      return .text("ok")
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
        await started.wait()
      }
      var outcomes = outcome.stream.makeAsyncIterator()
      #expect(await outcomes.next() != "5")
    }
  }
}
