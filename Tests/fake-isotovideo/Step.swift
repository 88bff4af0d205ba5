import Support

/// One thing that a run does; the member of the JSON object that names it decides which.
enum Step: Sendable {
  /// A screenshot and its detail, in a module; elsewhere only the live picture.
  case screenshot(Shot)
  /// A text result and its detail.
  case text(String, title: String, result: String, extra: [String: JSON])
  /// The number that the module's next result file gets.
  case number(Int)
  /// Writes the module's result file before its end.
  case save
  case wait(Duration)
  /// Waits until there is such a file.
  case until(String)
  case write(path: String, content: Content, appends: Bool, isAtomic: Bool)
  case remove(String)
  case link(path: String, target: String)
  case log(String)
  case broadcast(JSON)
  case pause(String)
  case spawn(Child)
  case repeated(Int, [Step])
  case die(component: String, message: String, result: String?, code: Int32)
  case exit(Int32)
  case signal(Int32)
  /// Does nothing until it is killed or terminated.
  case hang

  struct Shot: Sendable {
    var result: String
    /// Bytes of noise, to make the file about as large.
    var noise: Int
    var width: Int
    var height: Int
    /// The same text makes the same picture; nil makes one that no other is equal to.
    var picture: String?
    /// Members of the detail beside `screenshot`, `result` and `frametime`.
    var extra: [String: JSON]
    var hasThumbnail: Bool
  }

  enum Content: Sendable {
    case text(String)
    /// So many bytes, no two places equal.
    case size(Int)
  }

  static func list(_ steps: [JSON]) throws -> [Step] { try steps.map(Step.init) }

  init(_ json: JSON) throws {
    var fields = try Fields(json, "step")
    if let shot = fields.take("screenshot") {
      self = .screenshot(try Shot(shot))
    } else if let text = try fields.string("text") {
      let title = try fields.string("title") ?? "text"
      let result = try fields.string("result") ?? "ok"
      self = .text(text, title: title, result: result, extra: try fields.object("extra") ?? [:])
    } else if let reason = try fields.string("softfail") {
      self = .text("# Soft Failure:\n\(reason)\n", title: "Soft Failed", result: "softfail", extra: [:])
    } else if let number = try fields.integer("number") {
      self = .number(Int(number))
    } else if fields.take("save") != nil {
      self = .save
    } else if let wait = try fields.milliseconds("wait") {
      self = .wait(wait)
    } else if let path = try fields.string("until") {
      self = .until(path)
    } else if let path = try fields.string("write") {
      let size = try fields.integer("size")
      let content = try size.map { .size(Int($0)) } ?? Content.text(fields.string("content") ?? "")
      self = .write(
        path: path, content: content, appends: try fields.bool("append") ?? false,
        isAtomic: try fields.bool("atomic") ?? false)
    } else if let path = try fields.string("remove") {
      self = .remove(path)
    } else if let path = try fields.string("link") {
      self = .link(path: path, target: try fields.string("to") ?? "")
    } else if let text = try fields.string("log") {
      self = .log(text)
    } else if let message = fields.take("broadcast") {
      self = .broadcast(message)
    } else if let reason = try fields.string("pause") {
      self = .pause(reason)
    } else if let child = fields.take("spawn") {
      self = .spawn(try Child(child))
    } else if let count = try fields.integer("repeat") {
      self = .repeated(Int(count), try Step.list(fields.array("steps")))
    } else if let message = try fields.string("die") {
      self = .die(
        component: try fields.string("component") ?? "tests", message: message, result: try fields.string("result"),
        code: Int32(try fields.integer("code") ?? 1))
    } else if let code = try fields.integer("exit") {
      self = .exit(Int32(code))
    } else if let signal = try fields.integer("signal") {
      self = .signal(Int32(signal))
    } else if fields.take("hang") != nil {
      self = .hang
    } else {
      throw ScenarioError("unknown step \(json.text)")
    }
    try fields.end()
  }
}

extension Step.Shot {
  init(_ json: JSON) throws {
    var fields = try Fields(json, "screenshot")
    noise = Int(try fields.integer("noise") ?? 0)
    width = Int(try fields.integer("width") ?? 1024)
    height = Int(try fields.integer("height") ?? 768)
    picture = try fields.string("picture")
    hasThumbnail = try fields.bool("thumbnail") ?? true
    extra = try fields.object("extra") ?? [:]
    let match = try fields.string("match")
    let mismatch = try fields.string("mismatch")
    if let match {
      extra.merge(Self.matched(match)) { own, _ in own }
    } else if let mismatch {
      extra.merge(Self.mismatched(mismatch)) { own, _ in own }
    }
    result = try fields.string("result") ?? (match == nil ? "unk" : "ok")
    try fields.end()
  }

  private static func area(_ result: String, _ similarity: Int64) -> JSON {
    ["x": 0, "y": 0, "w": 352, "h": 48, "result": .string(result), "similarity": .integer(similarity)]
  }

  private static func matched(_ needle: String) -> [String: JSON] {
    [
      "needle": .string(needle), "json": .string("\(needle).json"), "tags": [.string(needle)], "properties": [],
      "error": .number("0.0"), "area": [area("ok", 100)],
    ]
  }

  private static func mismatched(_ needle: String) -> [String: JSON] {
    let candidate: JSON = [
      "name": .string(needle), "json": .string("\(needle).json"), "error": .number("1.0"), "area": [area("fail", 0)],
    ]
    return ["needles": [candidate], "tags": [.string(needle)]]
  }
}
