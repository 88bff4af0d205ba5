import HTTPServer
import Testing

@Suite(.timeLimit(.minutes(1)))
struct ServerLimitsTests {
  @Test func refusesLargeHeaders() async throws {
    var limits = ServerLimits()
    limits.headerBytes = 4096
    try await WebServer.with(limits: limits, handler: { _ in .text("ok") }) { server in
      let long = String(repeating: "a", count: 5000)
      for request in [
        "GET / HTTP/1.1\r\nHost: x\r\nX: \(long)\r\n\r\n", "GET /\(long) HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n" + (0..<200).map { "X-\($0): some value of a field\r\n" }.joined() + "\r\n",
      ] {
        try await RawClient.connect(to: server.port) { client in
          try await client.send(request)
          #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 431 "))
        }
      }
    }
  }

  @Test func closesIdleConnectionsAndAnswersHalfRequestsWith408() async throws {
    var limits = ServerLimits()
    limits.idle = .milliseconds(1500)
    try await WebServer.with(limits: limits, handler: { _ in .text("ok") }) { server in
      try await RawClient.connect(to: server.port) { client in
        let answer = try await client.readToEnd()
        #expect(answer == "")
      }
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.response().body == "ok")
        #expect(try await client.readToEnd() == "")
      }
      try await RawClient.connect(to: server.port) { client in
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc")
        #expect(try await client.readToEnd().contains("HTTP/1.1 200 "))
      }
    }
  }

  @Test func answersAHalfBodyThatIsReadWith408() async throws {
    var limits = ServerLimits()
    limits.idle = .milliseconds(1500)
    try await WebServer.with(limits: limits, handler: { .text("\(try await $0.body.collect().count)") }) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc")
        #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 408 "))
      }
    }
  }

  @Test func givesAHandlerAllTheTimeItTakes() async throws {
    var limits = ServerLimits()
    limits.idle = .milliseconds(1500)
    let handler: WebServer.Handler = { _ in
      try await Task.sleep(for: .milliseconds(2500))
      return .text("slow")
    }
    try await WebServer.with(limits: limits, handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await client.response().body == "slow")
      }
    }
  }

  @Test func closesOnAClientThatTakesNoOutput() async throws {
    var limits = ServerLimits()
    limits.idle = .milliseconds(1500)
    let ended = Gate()
    let handler: WebServer.Handler = { _ in
      .stream { writer in
        defer { ended.open() }
        while true { try await writer.write([UInt8](repeating: 0, count: 1 << 20)) }
      }
    }
    try await WebServer.with(limits: limits, handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await ended.wait()
      }
    }
  }

  @Test func refusesConnectionsBeyondTheLimit() async throws {
    var limits = ServerLimits()
    limits.connections = 1
    try await WebServer.with(limits: limits, handler: { _ in .text("ok") }) { server in
      try await RawClient.connect(to: server.port) { first in
        try await first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await first.response().body == "ok")
        try await RawClient.connect(to: server.port) { second in
          try await second.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
          #expect(try await second.readToEnd().hasPrefix("HTTP/1.1 503 "))
        }
        try await first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try await first.response().body == "ok")
      }
    }
  }
}
