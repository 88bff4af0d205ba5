import CommandServerClient
import HTTPServer
import Logging
import Support
import TestSupport
import Testing
import Transport

@Suite("What the command server tells", .timeLimit(.minutes(1)))
struct CommandServerFeedTests {
  @Test(
    "messages",
    arguments: [
      (#"{"paused":1,"reason":"reached module a"}"#, [CommandServerFeed.Event.paused(reason: "reached module a")]),
      (#"{"paused":{"cmd":"x"},"reason":"manually paused"}"#, [.paused(reason: "manually paused")]),
      (#"{"resume_test_execution":null}"#, [.resumed]),
      (#"{"set_current_test":"hold","current_test_full_name":"tests-hold"}"#, [.module("hold")]),
      (#"{"set_current_test":null,"current_test_full_name":null}"#, [.module(nil)]),
      (#"{"check_screen":{"timeout":30},"current_api_function":"assert_screen"}"#, [.function("assert_screen")]),
      (#"{"running":"boot","test_execution_paused":0,"current_api_function":null}"#, []),
      (#"{"set_pause_at_test":"a"}"#, []), (#"[1]"#, []), ("no JSON", []), ("", []),
    ])
  func messages(text: String, events: [CommandServerFeed.Event]) {
    #expect(CommandServerFeed.Event.parse(text) == events)
  }

  @Test("a lost connection is made anew; nothing is ever said to the server")
  func reconnecting() async throws {
    let said = Guarded<[String]>([])
    let server = try await WebServer.start { request in
      guard request.path == "/TOKEN/ws" else { return .text("", status: 404) }
      return .webSocket { socket in
        try await socket.send(#"{"set_current_test":"a"}"#)
        try await socket.close(code: 1001, reason: "")
        for try await text in socket.messages { said.withLock { $0.append(text) } }
      }
    }
    let feed = CommandServerFeed(
      url: "http://127.0.0.1:\(server.port)/TOKEN", webSockets: try WebSocketClient(proxies: .none),
      clock: ContinuousClock(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let heard = Guarded<[CommandServerFeed.Event]>([])
    let isEnough = Latch<Void>()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await feed.follow(pause: .milliseconds(1)) { event in
          let count = heard.withLock { heard in
            heard.append(event)
            return heard.count
          }
          if count == 6 { isEnough.open(with: ()) }
        }
      }
      _ = try? await isEnough.reached()
      group.cancelAll()
    }
    let expected = Array(repeating: [CommandServerFeed.Event.connected, .module("a")], count: 3).flatMap(\.self)
    #expect(heard.withLock { Array($0.prefix(6)) } == expected)
    #expect(said.withLock { $0 } == [])
    await server.stop()
  }
}
