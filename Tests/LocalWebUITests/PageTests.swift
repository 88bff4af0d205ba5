import LocalWebUI
import OpenQAProtocol
import Support
import Testing
import Transport

/// What a browser gets.
extension LocalServerTests {
  /// The server-sent events of an answer.
  private static func events(_ body: [UInt8]) -> [(name: String, data: String)] {
    String(decoding: body, as: UTF8.self).split(separator: "\n\n").map { block in
      let lines = block.split(separator: "\n", omittingEmptySubsequences: false)
      func field(_ name: String) -> String {
        lines.first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) } ?? ""
      }
      return (field("event"), field("data"))
    }
  }

  private func get(_ bench: Bench, _ path: String) async throws -> HTTPResponse {
    try await bench.http.send(HTTPRequest(.get, "\(bench.web.url)\(path)"))
  }

  /// A worker that has been given a job, and the job.
  private func workerWithJob(_ bench: Bench) async throws -> (WebSocketConnection, Int64) {
    _ = try await bench.post("workers?\(Self.worker)")
    let worker = try await WebSocketClient(proxies: .none).connect(
      WebSocketRequest(bench.web.url.replacing("http", with: "ws") + "/api/v1/ws/1"))
    try await worker.send(#"{"type":"worker_status","status":"free"}"#)
    let id = await bench.web.schedule(["TEST": "x", "WORKER_CLASS": "a"])
    for await message in worker.messages where message.contains("grab_job") { break }
    return (worker, id)
  }

  @Test("a page shows a job as it runs and how it ended, to whoever cannot sign")
  func page() async throws {
    try await run { bench in
      let html = String(decoding: try await get(bench, "/").body, as: UTF8.self)
      #expect(html.contains("EventSource('/events'"))
      let (worker, id) = try await workerWithJob(bench)
      async let answer = get(bench, "/events?job=\(id)")
      var status: JSON = [
        "worker_id": 1, "test_order": [["name": "m", "category": "c", "script": "s"]],
        "result": ["m": ["result": "ok", "details": [["screenshot": ["name": "m-1.png", "md5": "1"]]]]],
      ]
      _ = try await bench.post("jobs/\(id)/status", json: ["status": status])
      // The page is a viewer.
      for await message in worker.messages where message.contains("livelog_start") { break }
      status["log"] = ["offset": 0, "data": "\u{c3}\u{b6}\n"]
      status["screen"] = ["name": "1.png", "png": "iVBORw=="]
      _ = try await bench.post("jobs/\(id)/status", json: ["status": status])
      #expect(try await get(bench, "/files/\(id)/live.png").body == [0x89, 0x50, 0x4e, 0x47])
      _ = try await bench.post("jobs/\(id)/set_done?worker_id=1")
      let events = Self.events(try await answer.body)
      #expect(events.last?.name == "end")
      let last = try JSON(parsing: try #require(events.last { $0.name == "job" }).data)
      #expect(last["result"] == "passed" && last["modules"]?.array?.first?["screenshots"] == [])
      await worker.close()
    }
  }

  @Test("a page that goes is a viewer no more")
  func leaving() async throws {
    try await run { bench in
      let (worker, id) = try await workerWithJob(bench)
      let page = Task { try await get(bench, "/events") }
      _ = try await bench.post("jobs/\(id)/status", json: ["status": ["worker_id": 1]])
      for await message in worker.messages where message.contains("livelog_start") { break }
      page.cancel()
      for await message in worker.messages where message.contains("livelog_stop") { break }
      await worker.close()
    }
  }

  @Test("no file but a job's own", arguments: ["/files/1/../2/x", "/files/1/%2e%2e/secret", "/files/1/.locked", "/x"])
  func strangers(path: String) async throws {
    try await run { bench in
      _ = await bench.web.schedule(["TEST": "x"])
      let answer = try await get(bench, path)
      #expect(answer.status == 404)
    }
  }
}
