import HTTPServer
import Support

/// The command server: what viewers and developers talk to during a run.
struct CommandServer {
  private let server: WebServer

  /// Listens on QEMUPORT + 1 beneath /JOBTOKEN.
  static func start(_ options: Scenario.CommandServer, port: Int, token: String, status: RunStatus) async throws
    -> CommandServer
  {
    var router = Router()
    router.on("GET", "/\(token)/isotovideo/version") { _, _ in
      .json([
        "test_git_hash": "UNKNOWN", "needles_git_hash": "UNKNOWN", "version": .integer(options.interface),
      ])
    }
    router.on("POST", "/\(token)/broadcast") { request, _ in
      let message = try JSON(parsing: try await request.body.collect())
      if !options.answersBroadcast { try await Task.sleep(for: .seconds(3600)) }
      await status.broadcast(message)
      // The real program's spelling.
      return .json(["status": "boradcast done"])
    }
    router.on("GET", "/\(token)/ws") { request, _ in
      guard request.wantsWebSocket else { return .text("", status: 404) }
      return .webSocket { socket in
        let (id, messages) = await status.subscribe()
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { for await message in messages { try await socket.send(message.text) } }
          for try await text in socket.messages { await status.handle(try JSON(parsing: text), from: id) }
          await status.unsubscribe(id)
        }
      }
    }
    return CommandServer(server: try await WebServer.start(host: options.host, port: port, handler: router.respond))
  }

  func stop() async { await server.stop(grace: .milliseconds(100)) }
}
