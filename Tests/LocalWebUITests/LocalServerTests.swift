import Foundation
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

/// The embedded web UI, spoken to as a recorded worker spoke to a real one.
@Suite("The embedded web UI", .timeLimit(.minutes(1)))
struct LocalServerTests {
  struct Bench: Sendable {
    let folder: TemporaryFolder
    let web: LocalServer
    let http: HTTPClient

    func post(_ path: String, _ body: HTTPRequest.Body = .none) async throws -> (status: Int, json: JSON?) {
      let response = try await http.send(HTTPRequest(.post, "\(web.url)/api/v1/\(path)", body: body))
      return (response.status, try? JSON(parsing: response.body))
    }

    func post(_ path: String, json: JSON) async throws -> (status: Int, json: JSON?) {
      try await post(path, .bytes(json.bytes, contentType: "application/json"))
    }
  }

  func run(key: String? = nil, _ body: @Sendable (Bench) async throws -> Void) async throws {
    let folder = try TemporaryFolder()
    let web = try await LocalServer.start(folder: folder.path, key: key, secret: key.map { _ in "SECRET" })
    let bench = Bench(folder: folder, web: web, http: try HTTPClient())
    let result: Result<Void, any Error>
    do { result = .success(try await body(bench)) } catch { result = .failure(error) }
    await bench.http.shutdown()
    await web.stop()
    try result.get()
  }

  /// Runs `body` when a worker has been given job 1 over its connection.
  func runWithJob(_ body: @Sendable (Bench, WebSocketConnection) async throws -> Void) async throws {
    try await run { bench in
      _ = try await bench.post("workers?\(Self.worker)")
      let socket = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      try await socket.send(#"{"type":"worker_status","status":"free"}"#)
      _ = await bench.web.schedule(["TEST": "t", "WORKER_CLASS": "a"])
      for await message in socket.messages where message.contains("grab_job") { break }
      try await body(bench, socket)
      await socket.close()
    }
  }

  @Test("its memory is free when it was stopped and nobody holds it")
  func release() async throws {
    let folder = try TemporaryFolder()
    weak var released: LocalServer?
    do {
      let web = try await LocalServer.start(folder: folder.path)
      released = web
      await web.stop()
    }
    #expect(released == nil)
  }

  static let worker = "host=h&instance=3&cpu_arch=x86_64&mem_max=100&worker_class=a,b&websocket_api_version=1"

  @Test("a job's life, as a worker sees it")
  func life() async throws {
    try await run { bench in
      let registration = try await bench.post("workers?\(Self.worker)")
      #expect(registration.status == 200 && registration.json?["id"] == 1)
      let again = try await bench.post("workers?\(Self.worker)")
      #expect(again.json?["id"] == 1, "the same slot is the same worker")

      let socket = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      var messages = socket.messages.makeAsyncIterator()
      try await socket.send(#"{"type":"worker_status","status":"free"}"#)
      #expect(try JSON(parsing: try #require(await messages.next())) == ["type": "info", "seen": 1])
      _ = await bench.web.schedule(["TEST": "other", "WORKER_CLASS": "c"])
      let id = await bench.web.schedule(["TEST": "t", "DISTRI": "d", "WORKER_CLASS": "b"])
      guard case .grabJob(let job) = try WebUIMessage(parsing: try #require(await messages.next())) else {
        Issue.record("no job")
        return
      }
      #expect(job.id == id && job.setting("NAME") == "00000002-d-t" && job.setting("JOBTOKEN")?.count == 16)
      #expect(job.json["assigned_worker_id"] == 1)

      let wrong = try await bench.post("jobs/\(id)/status", json: ["status": ["worker_id": 9]])
      #expect(wrong.status == 400 && wrong.json?["error"]?.string?.contains("unexpected worker ID") == true)
      let image = Array("image".utf8)
      let md5 = Digest.md5(image).hexadecimal
      let status: JSON = [
        "status": [
          "worker_id": 1, "test_order": [["name": "m", "category": "c", "flags": [:], "script": "s"]],
          "result": [
            "m": [
              "result": "ok", "dents": 1,
              "details": [["screenshot": ["name": "m-1.png", "md5": .string(md5)]], ["text": "m-2.txt"]],
            ]
          ],
        ]
      ]
      let first = try await bench.post("jobs/\(id)/status", json: status)
      #expect(
        first.json == ["result": 1, "known_images": [], "known_files": [], "job_result": "softfailed"])
      let upload = try await bench.post(
        "jobs/\(id)/artefact",
        .multipart([
          MultipartPart(name: "file", filename: "m-1.png", content: .bytes(image)),
          MultipartPart(name: "image", content: .bytes(Array("1".utf8))),
          MultipartPart(name: "md5", content: .bytes(Array(md5.utf8))),
          MultipartPart(name: "thumb", content: .bytes(Array("0".utf8))),
        ]))
      #expect(upload.status == 200)
      #expect(try Files.read(bench.folder.path.appending("\(id)/m-1.png")) == image)
      let second = try await bench.post("jobs/\(id)/status", json: status)
      #expect(second.json?["known_images"] == [.string(md5)])

      let end = try await bench.post("jobs/\(id)/set_done?worker_id=1")
      #expect(end.json == ["result": "softfailed", "reason": nil])
      let finished = try await bench.web.end(of: id)
      #expect(finished?.result == "softfailed")
      let late = try await bench.post("jobs/\(id)/status", json: status)
      #expect(late.status == 400)
      await socket.close()
    }
  }

  static func recorded(_ name: String) throws -> JSON {
    let url = try #require(Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: "json"))
    return try JSON(parsing: [UInt8](Data(contentsOf: url)))
  }

  /// What a real worker said is understood, and what it heard has the same fields and types.
  @Test("a recorded job: its statuses, answers and end")
  func recordedJob() async throws {
    try await run { bench in
      let body = try Self.recorded("registration-body")
      let query = (body.object ?? [:]).map { "\($0.key)=\(($0.value.scalar ?? "").replacing(" ", with: "+"))" }
      let registration = try await bench.post("workers?\(query.joined(separator: "&"))")
      #expect(try #require(registration.json).shape == Self.recorded("registration-answer-2026").shape)

      let recordedGrab = try Self.recorded("grab_job")
      let socket = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      try await socket.send(Self.recorded("worker_status-free").text)
      var messages = socket.messages.makeAsyncIterator()
      #expect(try await messages.next().map { try JSON(parsing: $0) } == Self.recorded("info-2026"))
      var settings = try #require(recordedGrab["job"]?["settings"]?.object)
      settings["JOBTOKEN"] = nil
      settings["NAME"] = nil
      let id = await bench.web.schedule(settings)
      let grab = try JSON(parsing: try #require(await messages.next()))
      // The scheduler's own relations and the list of assets are not kept here.
      var (ours, theirs) = (grab.shape, recordedGrab.shape)
      ours["job"]?["assets"] = nil
      theirs["job"]?["assets"] = nil
      #expect(ours == theirs)
      #expect(grab["job"]?["name"] == recordedGrab["job"]?["name"])

      for name in ["status-running-first", "status-running", "status-results", "status-uploading", "status-final"] {
        let status = try Self.recorded(name)
        let answer = try await bench.post("jobs/\(id)/status", json: status)
        #expect(answer.status == 200, "\(name)")
        let (json, real) = (try #require(answer.json), try Self.recorded("\(name)-answer"))
        #expect(json.object?.keys.sorted() == real.object?.keys.sorted(), "\(name)")
        if name == "status-final" { #expect(json["job_result"] == real["job_result"]) }
      }
      let end = try await bench.post("jobs/\(id)/set_done?worker_id=1")
      #expect(end.json == ["result": "passed", "reason": nil])
      await socket.close()
    }
  }

  @Test("a second connection of a worker closes the first")
  func twice() async throws {
    try await run { bench in
      _ = try await bench.post("workers?\(Self.worker)")
      let client = try WebSocketClient()
      let first = try await client.connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      let second = try await client.connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      #expect(await first.closure().code == 1008)
      await second.close()
    }
  }

  @Test("a registration that does not name a job gives it up")
  func abandoned() async throws {
    try await run { bench in
      _ = try await bench.post("workers?\(Self.worker)")
      let socket = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      try await socket.send(#"{"type":"worker_status","status":"free"}"#)
      let id = await bench.web.schedule(["TEST": "t", "WORKER_CLASS": "a"])
      var messages = socket.messages.makeAsyncIterator()
      while let text = await messages.next(), !text.contains("grab_job") {}
      _ = try await bench.post("workers?\(Self.worker)&job_id=\(id)")
      #expect(await bench.web.job(id)?.state == .assigned)
      _ = try await bench.post("workers?\(Self.worker)")
      #expect(await bench.web.job(id)?.state == .scheduled, "not begun, so it can go to another worker")
      try await socket.send(#"{"type":"worker_status","status":"free"}"#)
      while let text = await messages.next(), !text.contains("grab_job") {}
      _ = try await bench.post("jobs/\(id)/status", json: ["status": ["worker_id": 1, "setup": 1]])
      _ = try await bench.post("workers?\(Self.worker)")
      let end = try await bench.web.end(of: id)
      #expect(end?.result == "incomplete" && end?.reason?.hasPrefix("abandoned: ") == true)
      await socket.close()
    }
  }

  @Test("unsigned, missing or nonsensical requests are refused with a reason")
  func refusals() async throws {
    try await run(key: "KEY") { bench in
      let unsigned = try await bench.post("workers?\(Self.worker)")
      #expect(unsigned.status == 403 && unsigned.json?["error"]?.string?.isEmpty == false)
    }
    try await run { bench in
      let incomplete = try await bench.post("workers?host=h")
      #expect(
        incomplete.json?["error"]
          == "Erroneous parameters (cpu_arch missing, instance missing, mem_max missing, worker_class missing)")
      #expect(try await bench.post("jobs/7/status").status == 400)
      #expect(try await bench.post("nothing").status == 404)
      let id = await bench.web.schedule([:])
      #expect(try await bench.post("jobs/\(id)/artefact").status == 404, "no worker assigned")
      #expect(try await bench.post("jobs/\(id)/status", json: [1]).status == 500)
      await #expect(throws: WebSocketUpgradeRefused.self) {
        _ = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/5"))
      }
    }
  }
}
