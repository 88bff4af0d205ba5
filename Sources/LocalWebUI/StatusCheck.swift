import Support

/// Checks the status of a running job (protocol §6) as openQA does: field by field in openQA's order. The first field that
/// openQA cannot read ends the check; what comes before it counts all the same, what comes after it does not.
struct StatusCheck: Sendable, Hashable {
  /// An entry of `test_order`.
  struct Entry: Sendable, Hashable {
    var name: String
    var category: String
    var script: String
    var flags: [String: JSON]
  }

  /// A module's part of `result`.
  struct ModuleResult: Sendable, Hashable {
    var name: String
    var content: [String: JSON]
    /// Whether the details count as well. If openQA refuses them, only the module's result changes.
    var hasDetails: Bool
  }

  private static let logs = ["log", "serial_log", "serial_terminal", "serial_terminal_user"]
  /// The longest file name, in bytes.
  private static let maximumNameLength = 255
  private static let unusableOperator =
    "DBIx::Class::SQLMaker::ClassicExtensions::puke(): Fatal: "
    + "Operator calls in update must be in the form { -op => $arg }"

  /// The accepted logs and screen.
  private(set) var live: [String: JSON] = [:]
  /// The accepted entries of `test_order`: all or none.
  private(set) var order: [Entry] = []
  /// The accepted results, in the order in which openQA stores them.
  private(set) var results: [ModuleResult] = []
  /// The refusal; `nil` if the whole status counts.
  private(set) var refusal: Refusal?

  /// Checks a status.
  /// - Parameters:
  ///   - status: the members of the request's `status`.
  ///   - known: the names of the modules that the job has already.
  init(_ status: [String: JSON], modules known: Set<String>) {
    do throws(Refusal) {
      for field in StatusCheck.logs {
        _ = try (status[field] ?? .null).members()
        live[field] = status[field]
      }
      try take(screen: status["screen"] ?? .null)
      try StatusCheck.check(backend: status["backend"] ?? .null)
      try take(order: status["test_order"] ?? .null)
      let unknown = try take(results: status["result"] ?? .null, of: known.union(order.map(\.name)))
      for field in ["cmd_srv_url", "worker_hostname"] where status[field]?.object != nil {
        throw Refusal(400, StatusCheck.unusableOperator)
      }
      if !unknown.isEmpty { throw Refusal(490, "Failed modules: \(unknown.joined(separator: ", "))") }
    } catch {
      refusal = error
    }
  }

  /// Returns the member `status` of a request's body.
  /// - Parameter job: the job's ID.
  /// - Throws: ``Refusal``.
  static func status(in body: [UInt8], of job: Int64, isKnown: Bool) throws(Refusal) -> [String: JSON] {
    guard let body = try? JSON(parsing: body), body.isTruthy else {
      throw Refusal(400, "No status information provided")
    }
    guard let members = body.object else { throw .internalError }
    guard isKnown else { throw Refusal(400, "Got status update for non-existing job: \(job)") }
    switch members["status"] ?? .null {
    case .object(let status): return status
    case .null: return [:]
    default: throw .internalError
    }
  }

  // MARK: Live view and backend

  private mutating func take(screen: JSON) throws(Refusal) {
    guard screen.isTruthy else { return }
    let members = try screen.members()
    // The file is named like the screen, with one underscore for each run of other characters.
    var name = ""
    for character in (members["name"]?.scalar ?? "").replacing(".png", with: "", maxReplacements: 1) {
      let isPlain = character.isASCII && (character.isLetter || character.isNumber || character == "-")
      if isPlain || name.last != "_" { name.append(isPlain ? character : "_") }
    }
    guard name.utf8.count + 4 <= StatusCheck.maximumNameLength else {
      throw Refusal(400, "can't open \(name).png: File name too long")
    }
    live["screen"] = screen
  }

  private static func check(backend: JSON) throws(Refusal) {
    guard backend.isTruthy else { return }
    _ = try backend.members()
    throw Refusal(
      400, "DBIx::Class::Row::get_column(): No such column 'backend' on OpenQA::Schema::Result::Jobs")
  }

  // MARK: test_order

  private mutating func take(order list: JSON) throws(Refusal) {
    guard list.isTruthy else { return }
    var entries: [Entry] = []
    for element in try list.elements() { entries.append(try StatusCheck.entry(element)) }
    order = entries
  }

  private static func entry(_ element: JSON) throws(Refusal) -> Entry {
    let members = try element.members()
    let flags = try (members["flags"] ?? .null).members()
    var texts: [String: String] = [:]
    for column in ["name", "category", "script"] {
      if members[column]?.object != nil { throw Refusal(400, "Cannot bind a reference\n") }
      texts[column] = members[column]?.storedText
    }
    func text(_ column: String) throws(Refusal) -> String {
      if let text = texts[column] { return text }
      throw Refusal(
        400,
        "OpenQA::Schema::Result::Jobs::insert_module(): DBI Exception: DBD::Pg::st execute failed: ERROR:  "
          + "null value in column \"\(column)\" of relation \"job_modules\" violates not-null constraint")
    }
    return Entry(
      name: try text("name"), category: try text("category"), script: try text("script"), flags: flags)
  }

  // MARK: result

  /// - Returns: the names of modules that the job does not have.
  private mutating func take(results: JSON, of known: Set<String>) throws(Refusal) -> [String] {
    guard results.isTruthy else { return [] }
    var unknown: [String] = []
    let sorted = try results.members().sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    for (name, content) in sorted {
      guard known.contains(name) else {
        unknown.append(name)
        continue
      }
      let members = try content.members()
      if members["result"]?.object != nil { throw Refusal(400, StatusCheck.unusableOperator) }
      self.results.append(ModuleResult(name: name, content: members, hasDetails: false))
      try StatusCheck.check(details: members["details"] ?? .null)
      try StatusCheck.check(fileOf: name)
      self.results[self.results.count - 1].hasDetails = true
    }
    return unknown
  }

  private static func check(details: JSON) throws(Refusal) {
    let steps = try details.elements()
    var members: [[String: JSON]] = []
    for step in steps {
      let step = try step.members()
      if let screenshot = step["screenshot"], screenshot.isTruthy { _ = try screenshot.members() }
      members.append(step)
    }
    for step in members {
      guard let needles = step["needles"], needles.isTruthy else { continue }
      for needle in try needles.elements() { _ = try needle.members() }
    }
  }

  /// openQA stores the details in a file named like the module.
  private static func check(fileOf module: String) throws(Refusal) {
    let name = "details-\(module).json"
    if name.utf8.count > maximumNameLength {
      throw Refusal(400, "Can't move file \"details\" to \"\(name)\": File name too long")
    }
    if name.utf8.contains(UInt8(ascii: "/")) {
      throw Refusal(400, "Can't move file \"details\" to \"\(name)\": No such file or directory")
    }
  }
}
