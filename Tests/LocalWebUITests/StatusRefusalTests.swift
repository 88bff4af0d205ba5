import LocalWebUI
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

/// Statuses as measured on openQA 4.6: input, answer, and what is stored.
@Suite("Statuses that the embedded web UI refuses", .timeLimit(.minutes(1)))
struct StatusRefusalTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var fields: JSON
    var status = 400
    /// The text; `nil` where openQA has none.
    var error: String?
    var testDescription: String { fields.text.count > 100 ? "\(fields.text.prefix(100))…" : fields.text }

    init(_ fields: JSON, _ error: String?, status: Int = 400) {
      (self.fields, self.error, self.status) = (fields, error, status)
    }
  }

  static func string(_ text: String, as kind: String = "a HASH") -> String {
    "Can't use string (\"\(text)\") as \(kind) ref while \"strict refs\" in use"
  }

  static let notHash = "Not a HASH reference"
  static let notArray = "Not an ARRAY reference"
  static let puke =
    "DBIx::Class::SQLMaker::ClassicExtensions::puke(): Fatal: Operator calls in update must be in the form { -op => $arg }"

  static func null(_ column: String) -> String {
    "OpenQA::Schema::Result::Jobs::insert_module(): DBI Exception: DBD::Pg::st execute failed: ERROR:  null value in column"
      + " \"\(column)\" of relation \"job_modules\" violates not-null constraint"
  }

  static func order(_ names: String...) -> JSON {
    .array(names.map { ["name": .string($0), "category": "c", "script": "s", "flags": [:]] })
  }

  /// A worker with a running job 1 that has the modules a, b, c and s/x.
  func run(_ body: @Sendable (LocalServerTests.Bench) async throws -> Void) async throws {
    try await ArrivingAssetTests().run { bench in
      let first = try await Self.post(["test_order": Self.order("a", "b", "c", "s/x")], bench)
      #expect(first.status == 200)
      try await body(bench)
    }
  }

  static func post(
    _ fields: JSON, _ bench: LocalServerTests.Bench
  ) async throws -> (status: Int, json: JSON?) {
    var fields = fields
    if fields["worker_id"] == nil { fields["worker_id"] = 1 }
    return try await bench.post("jobs/1/status", json: ["status": fields])
  }

  func check(_ cases: [Case], _ bench: LocalServerTests.Bench) async throws {
    for example in cases {
      let answer = try await Self.post(example.fields, bench)
      #expect(answer.status == example.status, "\(example.testDescription)")
      #expect(answer.json?["error"]?.string == example.error, "\(example.testDescription)")
    }
  }

  // MARK: Details

  static func details(_ details: JSON, _ error: String?, status: Int = 400) -> Case {
    Case(["result": ["b": ["result": "ok", "details": details]]], error, status: status)
  }

  static let refusedDetails: [Case] = [
    details([["screenshot": "x.png"]], string("x.png")),
    details([["screenshot": 5]], string("5")),
    details([["screenshot": true]], notHash),
    details([["screenshot": []]], notHash),
    details([["screenshot": ["a"]]], notHash),
    details(["s"], string("s")),
    details([5], string("5")),
    details([true], notHash),
    details([false], notHash),
    details([[]], notHash),
    details("s", string("s", as: "an ARRAY")),
    details("", string("", as: "an ARRAY")),
    details(0, string("0", as: "an ARRAY")),
    details(true, notArray),
    details(false, notArray),
    details([:], notArray),
    details([["needles": "s"]], string("s", as: "an ARRAY")),
    details([["needles": [:]]], notArray),
    details([["needles": ["s"]]], string("s")),
    details([["needles": [[]]]], notHash),
    details([["screenshot": ["name": "a", "md5": "b"], "needles": [5]]], string("5")),
    details([["text": "t"], "s"], string("s")),
  ]

  @Test("of details: only the module's result is stored, and the modules before it", arguments: refusedDetails)
  func refuses(details example: Case) async throws {
    try await run { bench in
      var fields = example.fields
      let good: JSON = ["result": "ok", "details": [["text": "t.txt"]]]
      fields["result"]?["a"] = good
      fields["result"]?["c"] = good
      try await check([Case(fields, example.error, status: example.status)], bench)
      let modules = await bench.web.job(1)?.modules ?? []
      #expect(modules.map(\.result) == ["passed", "passed", "none", "none"])
      #expect(modules.map(\.content) == [good, .null, .null, .null])
    }
  }

  static let acceptedDetails: [JSON] = [
    nil, [], [nil], [[:]],
    [["screenshot": nil]], [["screenshot": ""]], [["screenshot": 0]], [["screenshot": false]], [["screenshot": [:]]],
    [["screenshot": ["name": "a.png"]]], [["screenshot": ["md5": "0123"]]],
    [["screenshot": ["name": [1], "md5": [:]]]], [["screenshot": ["name": "../a.png", "md5": "../x"]]],
    [["screenshot": ["name": "/a\n\0", "md5": 5, "more": 1]]],
    [["text": 5, "audio": [:]]], [["text": "../t"]], [["text": ["a"]]], [["text": nil, "result": [1]]],
    [["needle": 1]], [["needle": "n", "json": []]],
    [["needles": nil]], [["needles": []]], [["needles": [nil]]], [["needles": [["json": 5]]]],
  ]

  @Test("accepts odd details that openQA accepts", arguments: acceptedDetails)
  func accepts(details: JSON) async throws {
    try await run { bench in
      let answer = try await Self.post(["result": ["a": ["result": "ok", "details": details]]], bench)
      #expect(answer.status == 200)
      #expect(await bench.web.job(1)?.modules.first?.content["details"] == details)
    }
  }

  // MARK: Results

  static let refusedFields: [Case] = [
    Case(["result": "s"], string("s")),
    Case(["result": 5], string("5")),
    Case(["result": true], notHash),
    Case(["result": []], notHash),
    Case(["result": ["a": "s"]], string("s")),
    Case(["result": ["a": ""]], string("")),
    Case(["result": ["a": 0]], string("0")),
    Case(["result": ["a": false]], notHash),
    Case(["result": ["a": []]], notHash),
    Case(["result": ["a": ["result": ["a": 1]]]], puke),
    Case(["result": ["u2": nil, "u1": 5, "": [:]]], "Failed modules: , u1, u2", status: 490),
    Case(["result": ["u": nil, "a": 5]], string("5")),
    Case(["cmd_srv_url": [:]], puke),
    Case(["worker_hostname": ["a": 1]], puke),
    Case(["worker_hostname": [:], "result": ["u": nil]], puke),
    Case(["test_order": "s"], string("s", as: "an ARRAY")),
    Case(["test_order": true], notArray),
    Case(["test_order": [:]], notArray),
    Case(["test_order": ["s"]], string("s")),
    Case(["test_order": [[]]], notHash),
    Case(["test_order": [nil]], null("name")),
    Case(["test_order": [["name": "n", "script": "s"]]], null("category")),
    Case(["test_order": [["name": "n", "category": "c", "script": nil]]], null("script")),
    Case(["test_order": [["name": [:], "category": "c", "script": "s"]]], "Cannot bind a reference\n"),
    Case(["test_order": [["name": "n", "category": "c", "script": "s", "flags": ""]]], string("")),
    Case(["test_order": [["name": "n", "category": "c", "script": "s", "flags": false]]], notHash),
    Case(["log": "s"], string("s")),
    Case(["log": ""], string("")),
    Case(["serial_log": 0], string("0")),
    Case(["serial_terminal": []], notHash),
    Case(["serial_terminal_user": true], notHash),
    Case(["screen": "s"], string("s")),
    Case(["screen": ["a"]], notHash),
    Case(
      ["screen": ["name": .string(String(repeating: "x", count: 300))]],
      "can't open \(String(repeating: "x", count: 300)).png: File name too long"),
    Case(
      ["backend": [:]],
      "DBIx::Class::Row::get_column(): No such column 'backend' on OpenQA::Schema::Result::Jobs"),
    Case(["log": .string(String(repeating: "x", count: 32))], string(String(repeating: "x", count: 32))),
    Case(
      ["log": .string(String(repeating: "x", count: 33))],
      "Can't use string (\"\(String(repeating: "x", count: 32))\"...) as a HASH ref while \"strict refs\" in use"),
    Case(["log": .string(String(repeating: "€", count: 33))], nil, status: 500),
  ]

  @Test("of results, module lists and live logs: nothing is stored", arguments: refusedFields)
  func refuses(fields example: Case) async throws {
    try await run { bench in
      try await check([example], bench)
      let modules = await bench.web.job(1)?.modules ?? []
      #expect(modules.map(\.name) == ["a", "b", "c", "s/x"])
      #expect(modules.map(\.result) == ["none", "none", "none", "none"])
      #expect(await bench.web.job(1)?.statuses.count == 1)
    }
  }

  static let acceptedFields: [JSON] = [
    ["result": nil], ["result": ""], ["result": 0], ["result": false], ["result": [:]], ["result": ["a": nil]],
    ["test_order": nil], ["test_order": ""], ["test_order": 0], ["test_order": []],
    ["test_order": [["name": "a", "category": "c", "script": "s", "flags": nil]]],
    ["log": nil], ["log": [:]], ["log": ["offset": "x", "data": 5]], ["screen": false], ["screen": ["png": []]],
    ["setup": [:], "test_execution_paused": [:], "unknown": [5], "cmd_srv_url": [], "worker_hostname": 5],
  ]

  @Test("accepts odd fields that openQA accepts", arguments: acceptedFields)
  func accepts(fields: JSON) async throws {
    try await run { bench in
      let answer = try await Self.post(fields, bench)
      #expect(answer.json?["result"] == 1)
      #expect(answer.json?["job_result"] == "failed", "no module has passed")
      #expect(await bench.web.job(1)?.modules.count == 4)
    }
  }

  @Test("stores what comes before the refused field")
  func order() async throws {
    try await run { bench in
      let fields: JSON = [
        "log": ["data": "l"], "test_order": Self.order("new"), "result": ["a": ["result": "ok"], "u": [:]],
      ]
      try await check([Case(fields, "Failed modules: u", status: 490)], bench)
      let job = await bench.web.job(1)
      #expect(job?.modules.map(\.name) == ["a", "b", "c", "s/x", "new"])
      #expect(job?.modules.first?.result == "passed")
      #expect(try Files.read(bench.folder.path.appending("1/autoinst-log-live.txt")) == Array("l".utf8))
      var bad = Self.order("newer")
      bad = .array((bad.array ?? []) + ["s"])
      try await check([Case(["test_order": bad, "result": ["b": ["result": "ok"]]], Self.string("s"))], bench)
      #expect(await bench.web.job(1)?.modules == job?.modules, "a list of modules counts as a whole or not at all")
      try await check(
        [
          Case(
            ["result": ["s/x": ["result": "ok"]]],
            "Can't move file \"details\" to \"details-s/x.json\": No such file or directory")
        ], bench)
      #expect(await bench.web.job(1)?.modules[3].result == "passed")
    }
  }

  @Test(
    "names results as openQA does",
    arguments: [
      ("ok", "passed"), ("fail", "failed"), ("softfail", "softfailed"), ("skip", "skipped"), ("na", "none"),
      ("unk", "none"), ("failed", "faileded"), ("unknown", "nonenown"), ("running", "running"), ("OK", "OK"),
      (5, "5"), (0, "none"), ("", "none"), (nil, "none"), (true, "none"), ([], "{}"),
    ] as [(JSON, String)])
  func words(given: JSON, stored: String) async throws {
    try await run { bench in
      _ = try await Self.post(["result": ["a": ["result": given]]], bench)
      #expect(await bench.web.job(1)?.modules.first?.result == stored)
      _ = try await Self.post(["result": ["a": ["result": given, "dents": 1]]], bench)
      #expect(await bench.web.job(1)?.modules.first?.result == (stored == "passed" ? "softfailed" : stored))
    }
  }

  // MARK: Senders and bodies

  @Test("of other workers")
  func senders() async throws {
    try await run { bench in
      for sender in [1, "1", "1.0", " 1", "1x", true] as [JSON] {
        #expect(try await Self.post(["worker_id": sender], bench).status == 200, "\(sender)")
      }
      func expected(_ name: String) -> String {
        "Got status update for job 1 with unexpected worker ID \(name) (expected 1, job is running)"
      }
      try await check(
        [
          Case(["worker_id": 9], expected("9")), Case(["worker_id": "x"], expected("x")),
          Case(["worker_id": ""], expected("")), Case(["worker_id": false], expected("0")),
          Case(["worker_id": nil], "Got status update for job 1 but does not contain a worker id!"),
        ], bench)
      let other = await bench.web.schedule(["WORKER_CLASS": "z"])
      let scheduled = try await bench.post("jobs/\(other)/status", json: ["status": ["worker_id": 1]])
      #expect(
        scheduled.json?["error"]?.string
          == "Got status update for job 2 and worker 1 but there is not even a worker assigned to this job (job is scheduled)"
      )
      _ = try await bench.post("jobs/1/set_done?worker_id=1")
      try await check(
        [
          Case(
            [:],
            "Got status update for job 1 with unexpected worker ID 1"
              + " (expected no updates anymore, job is done with result failed)")
        ], bench)
    }
  }

  @Test(
    "of bodies that are no status",
    arguments: [
      ("", 400, "No status information provided"), ("{", 400, "No status information provided"),
      ("null", 400, "No status information provided"), ("0", 400, "No status information provided"),
      ("false", 400, "No status information provided"),
      (#"{"status":{"worker_id":1}} x"#, 400, "No status information provided"),
      ("[]", 500, nil), ("5", 500, nil), ("true", 500, nil), (#"{"status":[]}"#, 500, nil),
      (#"{"status":""}"#, 500, nil),
      ("{}", 400, "Got status update for job 1 but does not contain a worker id!"),
      (#"{"status":null}"#, 400, "Got status update for job 1 but does not contain a worker id!"),
    ] as [(String, Int, String?)])
  func bodies(body: String, status: Int, error: String?) async throws {
    try await run { bench in
      let answer = try await bench.post("jobs/1/status", .bytes(Array(body.utf8), contentType: "application/json"))
      #expect(answer.status == status)
      #expect(answer.json?["error"]?.string == error)
    }
  }

  @Test("looks at nothing else of a status that says uploading")
  func uploading() async throws {
    try await run { bench in
      for _ in 1...2 {
        let answer = try await Self.post(["uploading": 1, "log": "s", "result": 5], bench)
        #expect(answer.json == ["result": 1])
      }
      #expect(await bench.web.job(1)?.state == .uploading)
      try await check([Case(["result": 5], Self.string("5"))], bench)
      #expect(try await Self.post(["result": ["a": ["result": "ok"]]], bench).status == 200)
      #expect(await bench.web.job(1)?.state == .uploading)
    }
  }
}
