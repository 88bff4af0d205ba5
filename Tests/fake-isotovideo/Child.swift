import Glibc
import Support
import SystemPackage

/// Processes that a run leaves beside itself, as a backend's are: this program again, asleep.
struct Child: Sendable {
  /// How many.
  var count: Int64
  /// Each in a session of its own.
  var hasSession: Bool
  /// They do not end on SIGTERM.
  var ignoresTerm: Bool
  /// How many generations each begins, itself included.
  var depth: Int64
  /// Milliseconds after which a forgotten child ends.
  var lifetime: Int64
  /// Where their process ids are appended, one a line.
  var pidFile: String

  init(_ json: JSON) throws {
    var fields = try Fields(json, "spawn")
    count = try fields.integer("count") ?? 1
    hasSession = try fields.bool("setsid") ?? false
    ignoresTerm = try fields.bool("ignoreTerm") ?? false
    depth = try fields.integer("depth") ?? 1
    lifetime = try fields.integer("lifetime") ?? 60_000
    pidFile = try fields.string("pidFile") ?? "children.pid"
    try fields.end()
  }

  private var json: JSON {
    [
      "setsid": .bool(hasSession), "ignoreTerm": .bool(ignoresTerm), "depth": .integer(depth),
      "lifetime": .integer(lifetime), "pidFile": .string(pidFile),
    ]
  }

  /// Starts the processes.
  func spawn() throws {
    // What the program was given beside the standard streams is not for its children.
    for descriptor in 3..<Int32(256) { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    for _ in 0..<count {
      var arguments = ["fake-isotovideo", "--child", json.text].map { $0.withCString { strdup($0) } }
      arguments.append(nil)
      defer { for argument in arguments { free(argument) } }
      var pid = pid_t()
      let code = posix_spawn(&pid, "/proc/self/exe", nil, nil, arguments, environ)
      guard code == 0 else { throw ScenarioError("cannot spawn: \(String(cString: strerror(code)))") }
      try Files.append("\(pid)\n".utf8, to: FilePath(pidFile))
    }
  }

  /// The life of such a process.
  static func live(_ description: String) {
    guard var child = (try? JSON(parsing: description)).flatMap({ try? Child($0) }) else { return }
    if child.hasSession { setsid() }
    if child.ignoresTerm { signal(SIGTERM, SIG_IGN) }
    alarm(UInt32(max(1, child.lifetime / 1000)))
    child.depth -= 1
    if child.depth > 0 { try? child.spawn() }
    while true { pause() }
  }
}
