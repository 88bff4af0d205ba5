import Support
import SystemPackage

/// What a run does; README.md describes the file it is read from.
struct Scenario: Sendable {
  static let defaultInterface: Int64 = 34

  struct CommandServer: Sendable {
    var isOn = true
    var host = "127.0.0.1"
    var delay = Duration.zero
    var interface = Scenario.defaultInterface
    var answersBroadcast = true
  }

  enum Termination: String, Sendable { case exit, ignore, hang }

  var seed = ""
  var settings: [String: JSON] = [:]
  var hasBaseFiles = true
  var hasTestOrder = true
  var commandServer = CommandServer()
  var setup: [Step] = []
  var modules: [Module] = []
  var teardown: [Step] = []
  var exitCode: Int32 = 0
  var termination = Termination.exit
  var terminationDelay = Duration.zero
  /// The program kills itself after this time, so that a test that failed leaves nothing behind.
  var lifetime = Duration.seconds(600)

  /// Reads a scenario: a path, JSON itself, or the built-in one for nil.
  static func load(_ source: String?) throws -> Scenario {
    guard let source else { return try Scenario(JSON(parsing: basic)) }
    if source.hasPrefix("{") { return try Scenario(JSON(parsing: source)) }
    guard let bytes = try Files.read(FilePath(source)) else { throw ScenarioError("no scenario file \(source)") }
    return try Scenario(JSON(parsing: bytes))
  }

  init(_ json: JSON) throws {
    var fields = try Fields(json, "scenario")
    seed = try fields.string("seed") ?? ""
    settings = try fields.object("settings") ?? [:]
    hasBaseFiles = try fields.bool("baseFiles") ?? true
    hasTestOrder = try fields.bool("testOrder") ?? true
    if let server = fields.take("commandServer") {
      var fields = try Fields(server, "commandServer")
      commandServer.isOn = try fields.bool("on") ?? true
      commandServer.host = try fields.string("host") ?? commandServer.host
      commandServer.delay = try fields.milliseconds("delay") ?? .zero
      commandServer.interface = try fields.integer("interface") ?? Self.defaultInterface
      commandServer.answersBroadcast = try fields.bool("answersBroadcast") ?? true
      try fields.end()
    }
    setup = try Step.list(fields.array("setup"))
    modules = try fields.array("modules").map(Module.init)
    teardown = try Step.list(fields.array("teardown"))
    exitCode = Int32(try fields.integer("exit") ?? 0)
    if let term = try fields.string("term") {
      guard let termination = Termination(rawValue: term) else { throw ScenarioError("term: \(term)?") }
      self.termination = termination
    }
    terminationDelay = try fields.milliseconds("termDelay") ?? .zero
    lifetime = try fields.milliseconds("lifetime") ?? lifetime
    try fields.end()
  }
}

/// One test module.
struct Module: Sendable {
  let name: String
  let category: String
  let script: String
  let flags: [String: JSON]
  let steps: [Step]
  let result: String
  let dents: Int64
  let executionTime: Int64

  init(_ json: JSON) throws {
    var fields = try Fields(json, "module")
    guard let name = try fields.string("name") else { throw ScenarioError("a module has no name") }
    self.name = name
    category = try fields.string("category") ?? "tests"
    script = try fields.string("script") ?? "\(category)/\(name).pm"
    flags = try fields.object("flags") ?? [:]
    steps = try Step.list(fields.array("steps"))
    result = try fields.string("result") ?? "ok"
    dents = try fields.integer("dents") ?? 0
    executionTime = try fields.integer("executionTime") ?? 0
    try fields.end()
  }

  /// As `test_order.json` has it.
  var json: JSON {
    ["name": .string(name), "category": .string(category), "script": .string(script), "flags": .object(flags)]
  }
}

/// A mistake in a scenario.
struct ScenarioError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = "scenario: \(description)" }
}

/// The members of a JSON object, each to be taken once: what is left is a typing mistake.
struct Fields {
  private var members: [String: JSON]
  private let name: String

  init(_ json: JSON, _ name: String) throws {
    guard let members = json.object else { throw ScenarioError("\(name) is no object: \(json.text)") }
    self.members = members
    self.name = name
  }

  mutating func take(_ key: String) -> JSON? { members.removeValue(forKey: key) }

  mutating func string(_ key: String) throws -> String? { try take(key, "a string") { $0.string } }
  mutating func integer(_ key: String) throws -> Int64? { try take(key, "an integer") { $0.integer } }
  mutating func bool(_ key: String) throws -> Bool? {
    try take(key, "true or false") { if case .bool(let value) = $0 { value } else { nil } }
  }
  mutating func object(_ key: String) throws -> [String: JSON]? { try take(key, "an object") { $0.object } }
  mutating func array(_ key: String) throws -> [JSON] { try take(key, "an array") { $0.array } ?? [] }
  mutating func milliseconds(_ key: String) throws -> Duration? { try integer(key).map { .milliseconds($0) } }

  /// - Throws: ``ScenarioError`` if a member was not taken.
  func end() throws {
    if !members.isEmpty { throw ScenarioError("\(name) has unknown members: \(members.keys.sorted())") }
  }

  private mutating func take<Value>(_ key: String, _ kind: String, _ convert: (JSON) -> Value?) throws -> Value? {
    guard let json = take(key) else { return nil }
    guard let value = convert(json) else { throw ScenarioError("\(key) of \(name) is not \(kind): \(json.text)") }
    return value
  }
}
