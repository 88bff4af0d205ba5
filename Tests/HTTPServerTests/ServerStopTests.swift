import HTTPServer
import Support
import Testing

@Suite(.timeLimit(.minutes(1)))
struct ServerStopTests {
  @Test func leavesNoConnectionAndNoHandler() async throws {
    let started = Gate()
    let running = Guarded(0)
    let server = try await WebServer.start { request in
      running.withLock { $0 += 1 }
      defer { running.withLock { $0 -= 1 } }
      started.open()
      await untilCancelled()
      return .text("late")
    }
    try await RawClient.connect(to: server.port) { idle in
      try await RawClient.connect(to: server.port) { busy in
        try await busy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await started.wait()
        await server.stop()
        #expect(server.connectionCount == 0)
        #expect(running.withLock { $0 } == 0)
        #expect(try await busy.readToEnd() == "")
        #expect(try await idle.readToEnd() == "")
      }
    }
    await #expect(throws: (any Error).self) { try await RawClient.connect(to: server.port) { _ in } }
    await server.stop()
  }

  @Test func letsAResponseUnderWayEnd() async throws {
    let started = Gate()
    let goOn = Gate()
    let server = try await WebServer.start { _ in
      started.open()
      await goOn.wait()
      return .text("done")
    }
    try await RawClient.connect(to: server.port) { idle in
      try await RawClient.connect(to: server.port) { busy in
        try await busy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await started.wait()
        async let stopped: Void = server.stop(grace: .seconds(30))
        #expect(try await idle.readToEnd() == "")
        goOn.open()
        #expect(try await busy.readToEnd().hasSuffix("\r\n\r\ndone"))
        await stopped
      }
    }
  }

  @Test func stopsManyConnectionsAtOnceWhileMoreArrive() async throws {
    let server = try await WebServer.start { _ in .text("ok") }
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<200 {
        group.addTask {
          try? await RawClient.connect(to: server.port) { client in
            try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = try await client.readToEnd()
          }
        }
        if number == 100 { group.addTask { await server.stop() } }
      }
    }
    #expect(server.connectionCount == 0)
  }

  @Test func reportsAnAddressInUse() async throws {
    try await WebServer.with(handler: { _ in .text("ok") }) { server in
      await #expect(throws: (any Error).self) { _ = try await WebServer.start(port: server.port) { _ in .text("") } }
    }
  }
}
