import Support

/// What a run tells about itself: the status file and the messages to the command server's clients.
actor RunStatus {
  private var subscribers: [Int: AsyncStream<JSON>.Continuation] = [:]
  private var subscriberCount = 0
  private var running: String?
  private var fullName: String?
  private var apiFunction: JSON = nil
  private var tags: JSON = nil
  private var pauseAt: String?
  private var pauseOnMismatch: JSON = false
  private var pauseOnNextCommand: JSON = 0
  private var pauseOnFailure: JSON = 0
  private var pausedBecause: String?
  private var waitsForResume: AsyncStream<Never>.Continuation?

  /// A client: its number, and the messages to it from now on.
  func subscribe() -> (id: Int, messages: AsyncStream<JSON>) {
    let (stream, continuation) = AsyncStream<JSON>.makeStream()
    subscriberCount += 1
    subscribers[subscriberCount] = continuation
    return (subscriberCount, stream)
  }

  /// Forgets a client.
  func unsubscribe(_ id: Int) { subscribers.removeValue(forKey: id)?.finish() }

  func broadcast(_ message: JSON) {
    if let function = message["current_api_function"] { apiFunction = function }
    if let tag = message["check_screen"]?["mustmatch"] { tags = tag.array == nil ? [tag] : tag }
    for subscriber in subscribers.values { subscriber.yield(message) }
  }

  /// Enters a module, nil between modules.
  /// - Returns: why the run has to pause before it, if it has.
  func enter(_ module: Module?) -> String? {
    running = module?.name
    fullName = module.map { "\($0.category)-\($0.name)" }
    tags = nil
    broadcast(["set_current_test": .init(running), "current_test_full_name": .init(fullName)])
    guard let fullName, pauseAt == fullName else { return nil }
    return "reached module \(fullName)"
  }

  /// As `autoinst-status.json` has it.
  func file(_ status: String) -> JSON {
    [
      "status": .string(status), "current_test": .string(running ?? ""),
      "test_execution_paused": pausedBecause.map(JSON.string) ?? 0,
    ]
  }

  /// Tells the clients that the run pauses, and returns what ends when it resumes.
  func pause(_ reason: String) -> AsyncStream<Never> {
    let (stream, continuation) = AsyncStream<Never>.makeStream()
    pausedBecause = reason
    waitsForResume = continuation
    broadcast(["paused": 1, "reason": .string(reason)])
    return stream
  }

  /// Performs the command of a client, which gets the answer after what all get.
  func handle(_ command: JSON, from id: Int) {
    var answer: JSON = ["ret": 1]
    switch command["cmd"]?.string {
    case "status":
      answer = [
        "running": .init(running), "current_test_full_name": .init(fullName), "current_api_function": apiFunction,
        "pause_test_name": .init(pauseAt), "pause_on_screen_mismatch": pauseOnMismatch,
        "pause_on_next_command": pauseOnNextCommand, "pause_on_failure": pauseOnFailure,
        "test_execution_paused": pausedBecause.map(JSON.string) ?? 0, "devel_mode_major_version": 1,
        "devel_mode_minor_version": 1, "tags": tags,
      ]
    case "set_pause_at_test":
      pauseAt = command["name"]?.string
      broadcast(["set_pause_at_test": .init(pauseAt)])
    case "set_pause_on_screen_mismatch":
      pauseOnMismatch = command["pause_on"] ?? false
      broadcast(["set_pause_on_screen_mismatch": pauseOnMismatch])
    case "set_pause_on_next_command":
      pauseOnNextCommand = command["flag"] ?? 0
      broadcast(["set_pause_on_next_command": pauseOnNextCommand])
    case "set_pause_on_failure":
      pauseOnFailure = command["flag"] ?? 0
      broadcast(["set_pause_on_failure": pauseOnFailure])
    case "resume_test_execution":
      pausedBecause = nil
      pauseAt = nil
      waitsForResume?.finish()
      waitsForResume = nil
      // Whoever waits for the run to go on gets the answer, not the client.
      return broadcast(["resume_test_execution": nil])
    default: return
    }
    subscribers[id]?.yield(answer)
  }
}

extension JSON {
  /// A string, or null for nil.
  init(_ text: String?) { self = text.map(JSON.string) ?? .null }
}
