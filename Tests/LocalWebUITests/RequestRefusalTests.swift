import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

/// Requests and messages as measured on openQA 4.6, but for statuses: ``StatusRefusalTests``.
@Suite("Requests that the embedded web UI refuses", .timeLimit(.minutes(1)))
struct RequestRefusalTests {
  static let parameters = [
    ("host", "h"), ("instance", "3"), ("cpu_arch", "x86_64"), ("mem_max", "1"), ("worker_class", "a"),
    ("websocket_api_version", "1"),
  ]

  static func query(without left: Set<String> = [], _ changed: [String: String] = [:]) -> String {
    parameters.filter { !left.contains($0.0) }.map { "\($0.0)=\(changed[$0.0] ?? $0.1)" }.joined(separator: "&")
  }

  // MARK: Registration

  static let versionText = "Incompatible websocket API version"
  static let databaseText =
    "Failed: DBIx::Class::Storage::DBI::_dbh_execute(): DBI Exception: DBD::Pg::st execute failed: ERROR:  "

  @Test(
    "of registrations",
    arguments: [
      (query(without: ["host"]), 400, "Erroneous parameters (host missing)"),
      (
        query(without: ["host", "cpu_arch", "worker_class"]), 400,
        "Erroneous parameters (cpu_arch missing, host missing, worker_class missing)"
      ),
      (query(without: ["websocket_api_version"]), 426, versionText),
      (query(["websocket_api_version": "2"]), 426, versionText),
      (query(["websocket_api_version": ""]), 426, versionText),
      (query(["websocket_api_version": "x"]), 426, versionText),
      (query(["instance": ""]), 500, databaseText + "invalid input syntax for type integer: \"\""),
      (
        query(["instance": "99999999999"]), 500, databaseText + "value \"99999999999\" is out of range for type integer"
      ),
    ])
  func registration(query: String, status: Int, text: String) async throws {
    try await LocalServerTests().run { bench in
      let answer = try await bench.post("workers?\(query)")
      #expect(answer.status == status)
      #expect(answer.json == ["error": .string(text)])
    }
  }

  @Test(
    "accepts registrations that openQA accepts",
    arguments: [
      query(["host": ""]), query(["cpu_arch": ""]), query(["mem_max": "x"]), query(["worker_class": ""]),
      query(["websocket_api_version": "01"]), query(["websocket_api_version": "1.0"]),
      query() + "&job_id=999&job_id=x&job_id=", "instance=1&" + query(["instance": "3x"]),
    ])
  func odd(query: String) async throws {
    try await LocalServerTests().run { bench in
      #expect(try await bench.post("workers?\(query)").json?["id"] == 1)
      let known = try await bench.post("workers?\(Self.query())").json?["id"]
      #expect(known == (query.contains("host=h") ? 1 : 2))
    }
  }

  // MARK: The end

  @Test(
    "of the end of a job",
    arguments: [
      ("1", "worker_id=9", 400, "Refusing to set result because job is currently assigned to worker 1)."),
      ("1", "worker_id=x", 400, "Erroneous parameters (worker_id invalid)"),
      ("1", "worker_id=", 400, "Erroneous parameters (worker_id invalid)"),
      ("1", "worker_id=-1&newbuild=0", 400, "Erroneous parameters (newbuild invalid, worker_id invalid)"),
      ("1", "newbuild=x", 400, "Erroneous parameters (newbuild invalid)"),
      ("1", "result=running&worker_id=1", 400, "Erroneous parameters (result invalid)\n"),
      ("1", "result=canceled", 400, "Erroneous parameters (result invalid)\n"),
      ("2", "worker_id=1", 400, "Refusing to set result because job has already been re-scheduled."),
      ("7", "worker_id=1", 404, "Job does not exist"),
      ("x", "worker_id=1", 404, nil),
      ("99999999999999999999", "", 500, nil),
    ] as [(String, String, Int, String?)])
  func end(job: String, query: String, status: Int, text: String?) async throws {
    try await ArrivingAssetTests().run { bench in
      _ = await bench.web.schedule(["WORKER_CLASS": "z"])
      let answer = try await bench.post("jobs/\(job)/set_done?\(query)")
      #expect(answer.status == status)
      #expect(answer.json?["error"]?.string == text)
      #expect(await bench.web.job(1)?.state == .assigned)
      #expect(await bench.web.job(1)?.timesEnded == 0)
    }
  }

  @Test("a job that has ended keeps its result and its first reason")
  func twice() async throws {
    try await ArrivingAssetTests().run { bench in
      let first = try await bench.post("jobs/1/set_done?result=PASSED&result=Failed&worker_id=1")
      #expect(first.json == ["result": "failed", "reason": nil])
      let second = try await bench.post("jobs/1/set_done?result=passed&reason=late")
      #expect(second.json == ["result": "failed", "reason": "late"])
      let third = try await bench.post("jobs/1/set_done?reason=later&worker_id=1")
      #expect(third.json == ["result": "failed", "reason": "later"])
      #expect(await bench.web.job(1)?.reason == "late")
    }
  }

  @Test(
    "stores results and reasons as openQA does",
    arguments: [
      ("result=", "incomplete", "no test modules scheduled/uploaded"),
      ("result=passed", "passed", nil),
      ("newbuild=1&result=incomplete&reason=obsolete", "obsoleted", "obsolete"),
      ("result=failed&reason=a%0Ab%00c", "failed", "a\nb"),
      (
        "result=failed&reason=" + String(repeating: "%C3%BC", count: 301), "failed",
        String(repeating: "ü", count: 300) + "…"
      ),
    ] as [(String, String, String?)])
  func stored(query: String, result: String, reason: String?) async throws {
    try await ArrivingAssetTests().run { bench in
      let answer = try await bench.post("jobs/1/set_done?worker_id=1&\(query)")
      #expect(answer.status == 200)
      #expect(await bench.web.job(1)?.result == result)
      #expect(await bench.web.job(1)?.reason == reason)
    }
  }

  @Test("duplicates a job once")
  func duplicate() async throws {
    try await ArrivingAssetTests().run { bench in
      func post(_ path: String) async throws -> JSON? { try await bench.post(path).json }
      #expect(
        try await post("jobs/1/duplicate?dup_type_auto=x")?["error"] == "Erroneous parameters (dup_type_auto invalid)")
      let first = try await post("jobs/1/duplicate?dup_type_auto=1")
      #expect(first == ["id": 2, "result": [["1": 2]], "test_url": [["1": "/tests/2"]]])
      let second = try await post("jobs/1/duplicate?dup_type_auto=1")
      #expect(
        second == ["result": [], "test_url": [], "errors": ["Specified job 1 has already been cloned as 2"]])
      #expect(try await post("jobs/9/duplicate") == ["result": [], "test_url": []])
    }
  }

  @Test("of progress that is none, and of jobs that nobody has")
  func progress() async throws {
    try await ArrivingAssetTests().run { bench in
      func post(_ body: String) async throws -> (status: Int, error: String?) {
        let response = try await bench.http.send(
          HTTPRequest(
            .post, "\(bench.web.url)/liveviewhandler/api/v1/jobs/1/upload_progress",
            body: .bytes(Array(body.utf8), contentType: "application/json")))
        return (response.status, try JSON(parsing: response.body)["error"]?.string)
      }
      let empty = try await post("")
      #expect(empty == (400, "No progress information provided"))
      let first = try await post("{}")
      #expect(first == (200, nil))
      _ = try await bench.post("jobs/1/set_done?result=passed")
      let late = try await post("{}")
      #expect(late == (400, "The job as no assigned worker"))
    }
  }

  // MARK: Uploads

  static let sum = "0123456789abcdef0123456789ABCDEF"

  struct Upload: Sendable, CustomTestStringConvertible {
    var name: String?
    var fields: [String: String] = [:]
    var status = 200
    var error: String?
    /// The file that is stored.
    var place: String?
    var testDescription: String { "\(name ?? "no file") \(fields)" }

    func send(_ bench: LocalServerTests.Bench, to job: Int64 = 1) async throws -> (status: Int, json: JSON?) {
      var parts = fields.map { MultipartPart(name: $0.key, content: .bytes(Array($0.value.utf8))) }
      if let name { parts.append(MultipartPart(name: "file", filename: name, content: .bytes([1]))) }
      return try await bench.post("jobs/\(job)/artefact", .multipart(parts))
    }
  }

  static let uploads = [
    Upload(fields: ["image": "0"], status: 400, error: "Erroneous parameters (file missing)"),
    Upload(fields: ["image": "1"], status: 400, error: "Erroneous parameters (file missing, md5 missing)"),
    Upload(fields: ["file": "x"], status: 400, error: "Erroneous parameters (file invalid)"),
    Upload(name: "i.png", fields: ["image": "1"], status: 400, error: "Erroneous parameters (md5 missing)"),
    Upload(
      name: "i.png", fields: ["image": "no", "md5": ""], status: 400, error: "Erroneous parameters (md5 invalid)"),
    Upload(
      name: "i.png", fields: ["image": "1", "md5": sum + "0"], status: 400, error: "Erroneous parameters (md5 invalid)"),
    Upload(
      name: "i.png", fields: ["image": "1", "md5": "g" + sum.dropFirst()], status: 400,
      error: "Erroneous parameters (md5 invalid)"),
    Upload(name: "i.png", fields: ["image": "1", "md5": sum], place: "i.png"),
    Upload(name: "i.png", fields: ["image": "1", "md5": sum + "\n", "thumb": "1"], place: ".thumbs/i.png"),
    Upload(name: "a/i.png", fields: ["image": "1", "md5": sum], place: "\(sum).png"),
    Upload(name: "i.png", fields: ["image": ""], place: "i.png"),
    Upload(name: "a b;c\\d%2f.txt", fields: ["ulog": "x"], place: "ulogs/a b;c\\d%2f.txt"),
    Upload(name: "ü.txt", fields: ["ulog": "0"], place: "ü.txt"),
    Upload(name: "", status: 500),
    Upload(name: ".", status: 500),
    Upload(name: "..", fields: ["ulog": "1"], status: 500),
    Upload(name: "a/b", fields: ["ulog": "1"], status: 500),
    Upload(name: String(repeating: "x", count: 256), status: 500),
    Upload(name: String(repeating: "x", count: 255), place: String(repeating: "x", count: 255)),
  ]

  @Test("of uploads", arguments: uploads)
  func upload(example: Upload) async throws {
    try await ArrivingAssetTests().run { bench in
      let answer = try await example.send(bench)
      #expect(answer.status == example.status)
      #expect(answer.json?["error"]?.string == example.error)
      #expect(await bench.web.job(1)?.files == Set(example.place.map { [$0] } ?? []))
      let names = try Files.names(in: bench.folder.path.appending("1"))
      #expect(!names.contains { $0.hasPrefix(".arriving") })
    }
  }

  @Test("of uploads to jobs that nobody has")
  func strangers() async throws {
    try await ArrivingAssetTests().run { bench in
      let upload = Upload(name: "x")
      let unknown = try await upload.send(bench, to: 9)
      #expect(unknown.status == 404 && unknown.json?["error"] == "Specified job 9 does not exist")
      let other = await bench.web.schedule(["WORKER_CLASS": "z"])
      _ = try await bench.post("jobs/1/set_done?result=passed")
      for job in [1, other] {
        let answer = try await upload.send(bench, to: job)
        #expect(answer.status == 404 && answer.json?["error"] == "No worker assigned")
      }
    }
  }

  // MARK: Signatures

  @Test("of requests that are not signed well")
  func signatures() async throws {
    try await LocalServerTests().run(key: "KEY") { bench in
      func check(_ headers: [String: String], _ text: String) async throws {
        var request = HTTPRequest(.post, "\(bench.web.url)/api/v1/workers?\(Self.query())")
        for (name, value) in headers { request.headers.append(HTTPHeader(name, value)) }
        let response = try await bench.http.send(request)
        #expect(response.status == 403)
        let body = try JSON(parsing: response.body)
        #expect(body == ["error": .string(text), "error_status": 403])
      }
      let future = "99999999999"
      for (headers, text) in [
        ([:], "no api key"), (["X-API-Key": ""], "no api key"), (["X-API-Key": "other"], "Not authorized"),
        (["X-API-Key": "KEY"], "timestamp mismatch"),
        (["X-API-Key": "KEY", "X-API-Microtime": "x"], "timestamp mismatch"),
        (["X-API-Key": "KEY", "X-API-Microtime": future], "unknown error (wrong secret?)"),
        (["X-API-Key": "KEY", "X-API-Microtime": future, "X-API-Hash": "0"], "unknown error (wrong secret?)"),
      ] as [([String: String], String)] {
        var headers = headers
        headers["Accept"] = "application/json"
        try await check(headers, text)
      }
    }
  }

  // MARK: The WebSocket

  @Test("of connections of unknown workers", arguments: [("7", 400), ("0", 400), ("x", 404), ("-1", 404)])
  func unknownWorker(id: String, status: Int) async throws {
    try await LocalServerTests().run { bench in
      await #expect {
        _ = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/\(id)"))
      } throws: { ($0 as? WebSocketUpgradeRefused)?.status == status }
    }
  }

  @Test("a message that is no object closes the connection", arguments: ["x", "", "{", "5", "null", #""s""#, "[]"])
  func message(text: String) async throws {
    try await LocalServerTests().run { bench in
      _ = try await bench.post("workers?\(LocalServerTests.worker)")
      let socket = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      try await socket.send(text)
      let closure = await socket.closure()
      #expect(closure.code == 1003)
      #expect(closure.reason == "Received unexpected data from worker, forcing close")
    }
  }

  @Test("a message of more than 10 MiB closes the connection")
  func largeMessage() async throws {
    try await LocalServerTests().run { bench in
      _ = try await bench.post("workers?\(LocalServerTests.worker)")
      let socket = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      var messages = socket.messages.makeAsyncIterator()
      func message(_ size: Int) -> String {
        let start = #"{"type":"worker_status","status":"free","x":""#
        return start + String(repeating: "y", count: size - start.utf8.count - 2) + #""}"#
      }
      try await socket.send(message(1 << 20))
      let answer = await messages.next()
      #expect(answer?.contains("info") == true)
      try? await socket.send(message((10 << 20) + 1))
      let rest = await messages.next()
      #expect(rest == nil)
    }
  }

  @Test("ignores what is not its job: accepted and rejected by another worker, unknown messages")
  func ignored() async throws {
    try await ArrivingAssetTests().run { bench in
      _ = try await bench.post("workers?\(Self.query(["host": "other"]))")
      let socket = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/2"))
      for text in [
        "{}", #"{"type":5}"#, #"{"type":"x"}"#, #"{"type":"accepted"}"#, #"{"type":"accepted","jobid":1}"#,
        #"{"type":"rejected","job_ids":[1]}"#, #"{"type":"rejected","job_ids":5}"#, #"{"type":"worker_status"}"#,
      ] { try await socket.send(text) }
      for await message in socket.messages where message.contains("info") { break }
      #expect(await bench.web.job(1)?.state == .assigned)
      #expect(await bench.web.job(1)?.worker == 1)
      await socket.close()
    }
  }

  @Test("a job is in set-up once its worker has accepted it, and rejected only before")
  func accepted() async throws {
    try await LocalServerTests().runWithJob { bench, socket in
      try await socket.send(#"{"type":"accepted","jobid":"1"}"#)
      try await socket.send(#"{"type":"rejected","job_ids":[1]}"#)
      try await socket.send(#"{"type":"worker_status","status":"working"}"#)
      for await message in socket.messages where message.contains("info") { break }
      #expect(await bench.web.job(1)?.state == .setup)
    }
  }

  @Test(
    "a job that a worker gives back waits again, and whoever looks on hears of it", arguments: ["rejected", "quit", ""])
  func givenBack(by way: String) async throws {
    try await LocalServerTests().runWithJob { bench, socket in
      if way.isEmpty {
        // Another registration does not name it.
        _ = try await bench.post("workers?\(LocalServerTests.worker)")
      } else {
        try await socket.send(#"{"type":"\#(way)","job_ids":[1]}"#)
      }
      var states: [LocalJob.State] = []
      for await case .changed(let job) in bench.web.events {
        states.append(job.state)
        if states.contains(.assigned), job.state == .scheduled { break }
      }
      #expect(states.suffix(2) == [.assigned, .scheduled])
    }
  }
}
