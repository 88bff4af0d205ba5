package import Logging
import Support
package import Transport

/// What isotovideo's command server tells its WebSocket clients (protocol §11), as long as the backend lives.
///
/// A listener only: the server holds back the second of two messages that come at once, whoever sent them, so what one
/// client says can keep a developer's command waiting. What is so when the connection is made, the pool's
/// `autoinst-status.json` says.
package struct CommandServerFeed: Sendable {
  /// What happens to the test.
  package enum Event: Sendable, Hashable {
    /// The feed is connected: what was before is not told.
    case connected
    case paused(reason: String)
    case resumed
    /// Another module runs; nil between two.
    case module(String?)
    /// Another function of the test API runs.
    case function(String)

    /// What a message tells, in order; nothing for what has no meaning here.
    package static func parse(_ text: String) -> [Event] {
      guard let json = try? JSON(parsing: text), let members = json.object else { return [] }
      var events: [Event] = []
      if let module = members["set_current_test"] { events.append(.module(module.scalar)) }
      if let function = members["current_api_function"]?.scalar { events.append(.function(function)) }
      if members["resume_test_execution"] != nil { events.append(.resumed) }
      if members["paused"]?.isTruthy == true { events.append(.paused(reason: members["reason"]?.scalar ?? "paused")) }
      return events
    }
  }

  private let url: String
  private let webSockets: WebSocketClient
  private let clock: any Clock<Duration> & Sendable
  private let logger: Logger

  /// - Parameter url: of the command server, `http://localhost:PORT/TOKEN`.
  package init(url: String, webSockets: WebSocketClient, clock: any Clock<Duration> & Sendable, logger: Logger) {
    self.url = url
    self.webSockets = webSockets
    self.clock = clock
    self.logger = logger
  }

  /// Listens until the task is cancelled; a connection that is lost or refused is made anew after `pause`.
  package func follow(pause: Duration = .seconds(1), _ hear: @Sendable (Event) async -> Void) async {
    while !Task.isCancelled {
      do {
        let connection = try await webSockets.connect(
          WebSocketRequest("\(url)/ws", connectTimeout: .seconds(10), closeTimeout: .seconds(1)))
        await hear(.connected)
        for await text in connection.messages {
          for event in Event.parse(text) { await hear(event) }
        }
        await connection.close()
        logger.debug("The backend's command server is listened to no more")
      } catch {
        logger.trace("The backend's command server cannot be listened to: \(error)")
      }
      try? await clock.sleep(for: pause)
    }
  }
}
