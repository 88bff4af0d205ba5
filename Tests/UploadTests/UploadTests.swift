import Configuration
import Glibc
import HTTPServer
import Logging
import PNGOptimizer
import Support
import SystemPackage
import TestSupport
import Testing
import Transport
import WebUIClient

@testable import Upload

/// A web UI that takes statuses and files of job 1 and answers as told.
final class TakingWebUI: Sendable {
  let statuses = Guarded<[JSON]>([])
  /// `kind name` of each file, in order.
  let files = Guarded<[String]>([])
  /// Says why a status is refused; nil if it is taken.
  let refusal = Guarded<@Sendable (JSON) -> String?>({ _ in nil })
  let statusAnswer = Guarded<ServerResponse>(.json(["result": 1, "known_images": [], "known_files": []]))
  /// The content of each image, by its name.
  let images = Guarded<[String: [UInt8]]>([:])
  /// Counts the files.
  let arrivals = Observed(0)
  /// Files by name that are refused.
  let refused = Guarded<Set<String>>([])

  @Sendable func respond(_ request: ServerRequest) async throws -> ServerResponse {
    if request.path.hasSuffix("/status") {
      let body = try JSON(parsing: try await request.body.collect(upTo: 1 << 20))
      let status = body["status"] ?? .null
      statuses.withLock { $0.append(status) }
      if let text = refusal.withLock({ $0(status) }) { return .json(["error": .string(text)], status: 400) }
      return statusAnswer.withLock { $0 }
    }
    var reader = try MultipartReader(request)
    var name = ""
    var fields: [String: String] = [:]
    while let part = try await reader.nextPart() {
      if let filename = part.filename { name = filename } else { fields[part.name] = "" }
      let content = try await reader.collect(upTo: 1 << 20)
      if part.filename != nil { images.withLock { $0[name] = $0[name] ?? content } }
      if part.filename == nil { fields[part.name] = String(decoding: content, as: UTF8.self) }
    }
    if refused.withLock({ $0.contains(name) }) { return .json(["error": "not wanted"], status: 400) }
    let kind =
      if fields["image"] == "1" {
        fields["thumb"] == "1" ? "thumb" : "image"
      } else {
        fields["ulog"] == "1" ? "ulog" : fields["image"] == "0" ? "detail" : "log"
      }
    files.withLock { $0.append("\(kind) \(name)") }
    arrivals.change { $0 += 1 }
    return .text("OK")
  }
}

/// A pool with results, and an uploader for it.
struct UploadBench: Sendable {
  let folder: TemporaryFolder
  let web: TakingWebUI
  let uploader: ResultUploader
  let logs: LogUploader

  var pool: FilePath { folder.path }

  func write(_ name: String, _ content: String) throws {
    let path = pool.appending(name)
    try Files.makeDirectory(path.removingLastComponent())
    try Files.replace(path, with: Array(content.utf8))
  }

  func setModules(_ names: [String]) throws {
    let entries = names.map { JSON.object(["name": .string($0), "category": "t", "flags": [:], "script": "s"]) }
    try write("testresults/test_order.json", JSON.array(entries).text)
  }

  func setStatus(_ current: String?, paused: String? = nil, status: String = "running") throws {
    let json: JSON = [
      "status": .string(status), "current_test": current.map { .string($0) } ?? nil,
      "test_execution_paused": paused.map { .string($0) } ?? 0,
    ]
    try write("autoinst-status.json", json.text)
  }

  /// A module with a screenshot, its thumbnail and a text.
  func finish(_ name: String) throws {
    try write("testresults/\(name)-1.png", "image of \(name)")
    try write("testresults/.thumbs/\(name)-1.png", "thumbnail of \(name)")
    try write("testresults/\(name)-2.txt", "text of \(name)")
    try write(
      "testresults/result-\(name).json",
      #"{"result":"ok","details":[{"screenshot":"\#(name)-1.png"},{"text":"\#(name)-2.txt"}]}"#)
  }

  /// The number of details of each module in statuses that were taken, the last one of each module.
  func taken() -> [String: Int] {
    let refusal = web.refusal.withLock { $0 }
    var counts: [String: Int] = [:]
    for status in statuses where refusal(status) == nil {
      for (name, module) in status["result"]?.object ?? [:] { counts[name] = module["details"]?.array?.count }
    }
    counts["odd"] = nil
    return counts
  }

  /// The names of modules in a list of statuses that were taken.
  func taken(_ list: String) -> Set<String> {
    let refusal = web.refusal.withLock { $0 }
    return Set(
      statuses.filter { refusal($0) == nil }.flatMap { $0[list]?.array ?? [] }.compactMap { $0["name"]?.string })
  }

  var statuses: [JSON] { web.statuses.withLock { $0 } }
  var files: [String] { web.files.withLock { $0.sorted() } }

  static func run(
    _ kind: ImageCompression.Kind = .lossless(nil), programs: [String: String] = [:], path: String? = nil,
    _ body: @Sendable (UploadBench) async throws -> Void
  ) async throws {
    let web = TakingWebUI()
    let server = try await WebServer.start(handler: web.respond)
    let http = try HTTPClient()
    let folder = try TemporaryFolder()
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let client = WebUIClient(
      try WebUIAddress("http://127.0.0.1:\(server.port)"), credentials: nil, http: http,
      retry: Settings.Retry(tries: 2, delay: .zero, delayIfBusy: .zero), logger: logger)
    let lane = try IOLane(name: "pool")
    let subject = ResultUploader.Subject(job: 1, workerID: { 7 }, commandServerURL: "http://c", workerHostname: "h")
    let programFolder = folder.path.appending("bin")
    try Files.makeDirectory(programFolder)
    for (name, script) in programs {
      let path = programFolder.appending(name)
      try Files.replace(path, with: Array("#!/bin/bash\n\(script)\n".utf8))
      try Files.setPermissions(path, to: FilePermissions(rawValue: 0o755))
    }
    let compression = ImageCompression(
      kind, workers: try ImageWorkers(),
      quantiser: .init(environment: ["PATH": path ?? "\(programFolder):/usr/bin:/bin"], folder: programFolder),
      lane: lane, logger: logger)
    let bench = UploadBench(
      folder: folder, web: web,
      uploader: ResultUploader(
        subject, client: client, pool: folder.path, lane: lane, compression: compression, logger: logger),
      logs: LogUploader(job: 1, client: client, pool: folder.path, lane: lane, logger: logger))
    let result: Result<Void, any Error>
    do { result = .success(try await body(bench)) } catch { result = .failure(error) }
    await http.shutdown()
    await server.stop()
    try result.get()
  }
}

@Suite("Passes over results", .timeLimit(.minutes(1)))
struct ResultUploaderTests {
  @Test("results that are written while they are read: whatever a pass sees, the last one sees all")
  func changing() async throws {
    try await UploadBench.run { bench in
      try bench.setModules(["a", "b"])
      try bench.finish("a")
      try bench.finish("b")
      let names = ["testresults/test_order.json", "testresults/result-a.json", "autoinst-status.json"]
      try bench.setStatus("b")
      let contents = try names.map { try #require(try Files.read(bench.pool.appending($0))) }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          while !Task.isCancelled {
            for (name, content) in zip(names, contents) {
              // In place, so that a reader can meet any part of it.
              let file = try FileDescriptor.open(bench.pool.appending(name), .writeOnly, options: [.truncate])
              try file.closeAfter { for byte in content { _ = try file.writeAll([byte]) } }
            }
            await Task.yield()
          }
        }
        for _ in 0..<100 { try await bench.uploader.pass(isFinal: false) }
        group.cancelAll()
        try await group.waitForAll()
      }
      try await bench.uploader.pass(isFinal: true)
      let last = try #require(bench.statuses.last)
      #expect(last["test_order"]?.array?.count == 2)
      #expect(last["result"]?["a"]?["result"] == "ok" && last["result"]?["b"]?["result"] == "ok")
      #expect(Set(bench.files).isSuperset(of: ["image a-1.png", "image b-1.png", "detail a-2.txt", "detail b-2.txt"]))
    }
  }

  @Test("each module once, as soon as the next one runs, and all again in the end")
  func order() async throws {
    try await UploadBench.run { bench in
      try await bench.uploader.pass(isFinal: false)
      #expect(bench.statuses.last?["test_order"] == nil, "nothing is there yet")

      try bench.setModules(["a", "b", "c"])
      try bench.setStatus("a")
      try await bench.uploader.pass(isFinal: false)
      #expect(bench.statuses.last?["test_order"]?.array?.count == 3)
      #expect(bench.statuses.last?["result"] == ["a": ["result": "running"]])

      try bench.finish("a")
      try bench.setStatus("b")
      try await bench.uploader.pass(isFinal: false)
      #expect(bench.statuses.last?["test_order"] == [])
      #expect(bench.statuses.last?["result"]?.object?.keys.sorted() == ["a", "b"])
      let md5 = Digest.md5("image of a".utf8).hexadecimal
      #expect(
        bench.statuses.last?["result"]?["a"]?["details"]?.array?[0]["screenshot"]
          == ["name": "a-1.png", "md5": .string(md5)])
      #expect(bench.files == ["detail a-2.txt", "image a-1.png", "thumb a-1.png"])

      try await bench.uploader.pass(isFinal: false)
      #expect(bench.statuses.last?["result"] == ["b": ["result": "running"]])
      #expect(bench.statuses.last?["test_order"] == nil)

      // The image may be made smaller on the disk: its name stays.
      try bench.write("testresults/a-1.png", "smaller")
      try bench.finish("b")
      try bench.finish("c")
      try bench.setStatus("c", status: "finished")
      try await bench.uploader.pass(isFinal: true)
      let last = bench.statuses.last
      #expect(last?["test_order"]?.array?.count == 3)
      #expect(last?["result"]?.object?.keys.sorted() == ["a", "b", "c"])
      #expect(last?["result"]?["a"]?["details"]?.array?[0]["screenshot"]?["md5"]?.string == md5)
      #expect(last?["result"]?["c"]?["result"] == "ok")
      #expect(bench.files.filter { $0.contains("c-") }.count == 3)
    }
  }

  @Test("paused: the current module goes up with what it has, and reads as running")
  func paused() async throws {
    try await UploadBench.run { bench in
      try bench.setModules(["a", "b"])
      try bench.finish("a")
      try bench.finish("b")
      try bench.setStatus("b", paused: "reached b")
      try await bench.uploader.pass(isFinal: false)
      let status = bench.statuses.last
      #expect(status?["test_execution_paused"] == "reached b")
      #expect(status?["result"]?["b"]?["result"] == "running")
      #expect(status?["result"]?["b"]?["details"]?.array?.count == 2)
      #expect(bench.files.contains("image b-1.png"))
    }
  }

  @Test("what the web UI knows is not sent")
  func known() async throws {
    try await UploadBench.run { bench in
      let md5 = Digest.md5("image of a".utf8).hexadecimal
      bench.web.statusAnswer.withLock {
        $0 = .json(["result": 1, "known_images": [.string(md5)], "known_files": ["a-2.txt"]])
      }
      try bench.setModules(["a"])
      try bench.finish("a")
      try await bench.uploader.pass(isFinal: true)
      #expect(bench.files == [])
      // An answer without the lists leaves them in force.
      bench.web.statusAnswer.withLock { $0 = .json(["result": 0]) }
      try await bench.uploader.pass(isFinal: true)
      #expect(bench.files == [])
    }
  }

  @Test("a file that is refused: the others arrive, and it is tried again")
  func refused() async throws {
    try await UploadBench.run { bench in
      bench.web.refused.withLock { $0 = ["a-1.png"] }
      try bench.setModules(["a", "b"])
      try bench.finish("a")
      try bench.finish("b")
      await #expect(throws: UploadError(.artefacts, "Error uploading a-1.png: 400 response: not wanted")) {
        try await bench.uploader.pass(isFinal: true)
      }
      #expect(bench.files == ["detail a-2.txt", "detail b-2.txt", "image b-1.png", "thumb b-1.png"])
      // In the end nothing points at what is not there.
      func screenshot(_ module: String) throws -> JSON? {
        try #require(bench.statuses.last)["result"]?[module]?["details"]?.array?.first?["screenshot"]
      }
      #expect(bench.statuses.count == 2)
      #expect(try screenshot("a") == .null)
      #expect(try screenshot("b")?["name"] == "b-1.png")
      bench.web.refused.withLock { $0 = [] }
      try await bench.uploader.pass(isFinal: true)
      #expect(bench.files.contains("image a-1.png"))
    }
  }

  @Test("a web UI that takes no status")
  func status() async throws {
    try await UploadBench.run { bench in
      bench.web.statusAnswer.withLock { $0 = .json(["error": "job is dead"], status: 400) }
      await #expect(throws: UploadError(.status, "400 response: job is dead")) {
        try await bench.uploader.pass(isFinal: false)
      }
      #expect(bench.statuses.count == 2, "the second one has no results, which could be at fault")
    }
  }

  @Test("results that a web UI refuses are withheld, all others are told, and the job goes on")
  func refusedResults() async throws {
    try await UploadBench.run { bench in
      let names = ["a", "b", "c", "d", "e", "f"]
      try bench.setModules(names + ["odd"])
      for name in names { try bench.finish(name) }
      bench.web.refusal.withLock {
        $0 = { status in
          if status["test_order"]?.array?.contains(where: { $0["name"] == "odd" }) == true { return "odd order" }
          let details = ["b", "e"].compactMap {
            status["result"]?[$0]?["details"]?.array?.first?["screenshot"]?["name"]
          }
          return details.isEmpty ? nil : "Can't use \(details[0].text)"
        }
      }
      try bench.setStatus("odd")
      try await bench.uploader.pass(isFinal: false)
      #expect(bench.taken() == ["a": 2, "b": 0, "c": 2, "d": 2, "e": 0, "f": 2])
      #expect(bench.taken("test_order") == Set(names))
      let warning = await bench.uploader.warning
      #expect(
        warning == "results of b, e, odd are withheld, since the web UI refuses them: "
          + #"400 response: Can't use "e-1.png""#)
      // What is known to be refused is not tried again.
      var count = bench.statuses.count
      try await bench.uploader.pass(isFinal: false)
      #expect(bench.statuses.count == count + 1)
      try await bench.uploader.pass(isFinal: true)
      #expect(bench.statuses.count == count + 2)
      #expect(bench.statuses.last?["result"]?.object?.keys.sorted() == names)
      // Other content can be taken.
      count = bench.statuses.count
      try bench.write("testresults/result-b.json", #"{"result":"ok","details":[{"text":"b-2.txt"}]}"#)
      try await bench.uploader.pass(isFinal: true)
      #expect(bench.statuses.count == count + 1)
      #expect(bench.statuses.last?["result"]?["b"]?["details"]?.array?.count == 1)
    }
  }

  @Test("a module that is refused even without its details is left out, and no more asked for")
  func hopelessModule() async throws {
    try await UploadBench.run { bench in
      let names = [String(repeating: "l", count: 100), "b", "c", "d", "e"]
      try bench.setModules(names)
      for name in names { try bench.finish(name) }
      bench.web.refusal.withLock { $0 = { $0["result"]?.object?.keys.contains { $0 != "b" } == true ? "no" : nil } }
      try await bench.uploader.pass(isFinal: true)
      let why = "are withheld, since the web UI refuses them: 400 response: no"
      #expect(await bench.uploader.warning == "results of c, d, e and 1 more \(why)")
      let count = bench.statuses.count
      try await bench.uploader.pass(isFinal: true)
      #expect(bench.statuses.count == count + 1)
      #expect(bench.statuses.last?["result"]?.object?.keys.sorted() == ["b"])
    }
  }

  @Test("a web UI that is unavailable while results are tried in parts gets them all later")
  func unavailableWhileHalving() async throws {
    try await UploadBench.run { bench in
      try bench.setModules(["a", "b"])
      try bench.finish("a")
      try bench.setStatus("b")
      bench.web.refusal.withLock { $0 = { $0["result"] == nil ? nil : "no" } }
      bench.web.statusAnswer.withLock { $0 = .json(["error": "busy"], status: 503) }
      await #expect(throws: UploadError(.status, "503 response: busy")) { try await bench.uploader.tell() }
      bench.web.refusal.withLock { $0 = { _ in nil } }
      bench.web.statusAnswer.withLock { $0 = .json(["result": 1]) }
      try await bench.uploader.tell()
      #expect(bench.statuses.last?["result"]?["a"]?["details"]?.array?.count == 2)
      #expect(await bench.uploader.warning == nil)
    }
  }

  @Test("entries without a usable name are skipped, and nothing behind them")
  func oddEntries() async throws {
    try await UploadBench.run { bench in
      try bench.write(
        "testresults/test_order.json",
        #"""
        [{"category":"x"}, {"name":""}, {"name":"a/b"}, {"name":"../a"}, {"name":null}, {"name":true}, {"name":[]}, 5, "a",
         {"name":"a"}, {"name":7,"category":null,"script":{},"flags":[]}, {"name":"b","category":"c","script":"s","flags":{}}]
        """#)
      for name in ["a", "7", "b"] { try bench.finish(name) }
      try await bench.uploader.pass(isFinal: true)
      #expect(
        bench.statuses.last?["test_order"] == [
          ["name": "a", "category": "", "script": ""], ["name": "7", "category": "", "script": "", "flags": [:]],
          ["name": "b", "category": "c", "script": "s", "flags": [:]],
        ])
      #expect(bench.statuses.last?["result"]?.object?.keys.sorted() == ["7", "a", "b"])
    }
  }

  @Test("texts, sounds and screenshots that are missing or no regular files are left out, and no failure")
  func missingFiles() async throws {
    try await UploadBench.run { bench in
      try bench.setModules(["a", "b"])
      try bench.finish("b")
      try bench.write(
        "testresults/result-a.json",
        #"""
        {"result":"ok","details":[{"text":"gone.txt"},{"audio":"folder"},{"text":"fifo"},{"text":"device"},
         {"screenshot":"gone.png"},{"screenshot":"folder"},{"screenshot":"fifo"},{"screenshot":"device"},{"screenshot":5}]}
        """#)
      let results = bench.pool.appending("testresults")
      try Files.makeDirectory(results.appending("folder"))
      #expect(results.appending("fifo").withPlatformString { mkfifo($0, 0o644) } == 0)
      try Files.symbolicLink(results.appending("device"), to: "/dev/zero")
      try await bench.uploader.pass(isFinal: true)
      #expect(bench.files == ["detail b-2.txt", "image b-1.png", "thumb b-1.png"])
      let details = try #require(bench.statuses.last?["result"]?["a"]?["details"]?.array)
      #expect(details.count == 9 && details.compactMap { $0["screenshot"] } == [JSON](repeating: nil, count: 5))
      #expect(bench.statuses.last?["result"]?["b"]?["details"]?.array?.first?["screenshot"]?["name"] == "b-1.png")
    }
  }

  @Test("halves find what is refused, with few questions", arguments: 0..<20)
  func halving(seed: UInt64) async {
    var generator = SeededGenerator(seed)
    let items = Array(0..<Int.random(in: 0...200, using: &generator))
    let bad = Set(items.shuffled(using: &generator).prefix(Int.random(in: 0...5, using: &generator)))
    var questions = 0
    let found = await Halving.find(in: items) { half in
      questions += 1
      return bad.isDisjoint(with: half)
    }
    #expect(found == bad.sorted() && questions <= 1 + 2 * bad.count * 8, "seed \(seed)")
  }

  @Test("a backend without tests")
  func noTests() async throws {
    try await UploadBench.run { bench in
      try bench.setStatus(nil, status: "initial")
      try await bench.uploader.pass(isFinal: false)
      try bench.setStatus("a")
      await #expect(throws: UploadError(.noTestsScheduled, "no tests scheduled")) {
        try await bench.uploader.pass(isFinal: false)
      }
    }
  }

  @Test("extra results come with the module that names them")
  func extra() async throws {
    try await UploadBench.run { bench in
      try bench.setModules(["a", "b"])
      try bench.write(
        "testresults/result-a.json",
        #"{"result":"ok","details":[],"extra_test_results":[{"name":"x","category":"e"},{"name":"gone"}]}"#)
      try bench.finish("x")
      try bench.setStatus("b")
      try await bench.uploader.pass(isFinal: false)
      #expect(bench.statuses.last?["result"]?.object?.keys.sorted() == ["a", "b", "x"])
      #expect(bench.statuses.last?["test_order"]?.array?.compactMap { $0["name"]?.string } == ["a", "b", "x", "gone"])
      #expect(bench.files.contains("image x-1.png"))
    }
  }

  @Test(
    "damaged files are warned about, and never the end",
    arguments: [
      ("testresults/test_order.json", "{"), ("testresults/test_order.json", "{}"), ("testresults/result-a.json", ""),
      ("testresults/result-a.json", "[1]"), ("autoinst-status.json", "<html>"), ("autoinst-status.json", ""),
      ("testresults/result-a.json", #"{"details":[{"screenshot":"../../etc/passwd"},{"text":"/etc/passwd"}]}"#),
      ("testresults/result-a.json", #"{"details":[{"screenshot":"gone.png"}]}"#),
    ])
  func damaged(file: String, content: String) async throws {
    try await UploadBench.run { bench in
      try bench.setModules(["a", "b"])
      try bench.setStatus("b")
      try bench.finish("a")
      try bench.finish("b")
      try bench.write(file, content)
      try await bench.uploader.pass(isFinal: false)
      try await bench.uploader.pass(isFinal: true)
      #expect(bench.files.allSatisfy { !$0.contains("passwd") && !$0.contains("gone") })
      if file.hasSuffix("result-a.json") { #expect(bench.files.contains("image b-1.png")) }
    }
  }
}

@Suite("Logs", .timeLimit(.minutes(1)))
struct LogUploaderTests {
  @Test("which, and as what: those of the test first, those that tell of the upload one by one")
  func logs() async throws {
    try await UploadBench.run { bench in
      for name in [
        "ulogs/b c.txt", "ulogs/ü.log", "video.ogv", "video.webm", "autoinst-log.txt", "worker-log.txt", "serial0",
        "virtio_console.log", "virtio_console1.log", "virtio_console_user.log", "virtio_console9.log", "other.txt",
        "serial_terminal.txt", "ulogs/below/no.txt",
      ] {
        try bench.write(name, name)
      }
      try bench.write("vars.json", #"{"A" : "b", "X_PASSWORD":"p", "_SECRET_Y":"s"}"#)
      try Files.symbolicLink(bench.pool.appending("ulogs/link"), to: "/etc/passwd")
      #expect(mkfifo(bench.pool.appending("ulogs/fifo").string, 0o600) == 0)
      try await bench.logs.upload()
      #expect(
        bench.files == [
          "log autoinst-log.txt", "log serial0.txt", "log serial_terminal.txt", "log serial_terminal.txt",
          "log serial_terminal1.txt", "log serial_terminal_user.txt", "log vars.json", "log video.ogv",
          "log video.webm", "log worker-log.txt", "ulog b c.txt", "ulog ü.log",
        ])
      let order = bench.web.files.withLock { $0 }
      #expect(Set(order.prefix(2)) == ["ulog b c.txt", "ulog ü.log"])
      #expect(Set(order[2..<5]) == ["log video.ogv", "log video.webm", "log vars.json"])
      #expect(order[5..<7] == ["log autoinst-log.txt", "log worker-log.txt"])
      let variables = try Files.read(bench.pool.appending("vars.json")).map { String(decoding: $0, as: UTF8.self) }
      #expect(variables == #"{"A" : "b", "X_PASSWORD":"[redacted]", "_SECRET_Y":"[redacted]"}"#)
    }
  }

  @Test("variables whose secrets cannot be taken out are not sent")
  func corruptVariables() async throws {
    try await UploadBench.run { bench in
      try bench.write("vars.json", #"{"X_PASSWORD":"p""#)
      try bench.write("serial0", "x")
      try await bench.logs.upload()
      #expect(bench.files == ["log serial0.txt"])
    }
  }

  @Test(
    "secrets",
    arguments: [
      (#"{"A":"1"}"#, #"{"A":"1"}"#),
      (#"{"A_PASSWORD_B":{"c":[1]},"B":2}"#, #"{"A_PASSWORD_B":"[redacted]","B":2}"#),
      (#"{"NOT_SECRET_":1,"_SECRET_":null}"#, #"{"NOT_SECRET_":1,"_SECRET_":"[redacted]"}"#),
      (
        #"{"_HIDE_SECRETS_REGEX":"^TOK","TOKEN":"t","XTOK":"u"}"#,
        #"{"_HIDE_SECRETS_REGEX":"^TOK","TOKEN":"[redacted]","XTOK":"u"}"#
      ),
      (
        #"{"_HIDE_SECRETS_REGEX":"(","A":"t"}"#, #"{"_HIDE_SECRETS_REGEX":"[redacted]","A":"[redacted]"}"#
      ),
    ])
  func redaction(text: String, expected: String) throws {
    #expect(String(decoding: try Redaction.redact(Array(text.utf8)), as: UTF8.self) == expected)
  }
}
