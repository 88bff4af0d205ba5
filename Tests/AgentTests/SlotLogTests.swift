import Agent
import Configuration
import Engines
import Foundation
import LocalWebUI
import Logging
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("What is logged, and where", .timeLimit(.minutes(1)))
struct SlotLogTests {
  struct Level: Sendable, CustomTestStringConvertible {
    var testDescription: String { level.rawValue }
    var level: Settings.LogLevel
    var shown: [String]
    var workerLog: [String]
    var testLog: [String]
  }

  static let levels = [
    Level(
      level: .info, shown: ["[info] to the test", "[info] to both", "[warn] to the worker"],
      workerLog: ["[info] to both", "[warn] to the worker"],
      testLog: ["[info] to the test", "[debug] details", "[info] to both"]),
    Level(
      level: .debug,
      shown: ["[info] P to the test", "[debug] P details", "[info] P to both", "[warn] P to the worker"],
      workerLog: ["[info] P to both", "[warn] P to the worker"],
      testLog: ["[info] P to the test", "[debug] P details", "[info] P to both"]),
    Level(
      level: .error, shown: [], workerLog: [],
      testLog: ["[info] to the test", "[debug] details", "[info] to both"]),
  ]

  @Test("no line comes to the pool after the end of the job's logs, whoever logs meanwhile")
  func ended() async throws {
    let folder = try TemporaryFolder()
    let pool = try Pool(folder.path)
    let log = SlotLog(level: .info, slot: 1, output: try LogRecorder().output)
    let isOver = Guarded(false)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<2 {
        group.addTask {
          while !isOver.withLock({ $0 }) {
            log.logger().info("from elsewhere")
            await Task.yield()
          }
        }
      }
      defer { isOver.withLock { $0 = true } }
      for round in 0..<300 {
        log.begin(job: Int64(round), webUI: "http://web", pool: pool)
        for _ in 0..<10 { await Task.yield() }
        log.end()
        try await pool.clean()
        try await pool.lane.run {}
        let left = try Files.names(in: pool.path)
        #expect(left.isEmpty, "\(left)")
      }
    }
  }

  @Test("each channel has its lines, in the reference worker's shape", arguments: levels)
  func channels(_ expected: Level) async throws {
    let folder = try TemporaryFolder()
    let pool = try Pool(folder.path)
    let recorder = try LogRecorder()
    let log = SlotLog(level: expected.level, slot: 1, output: recorder.output)
    log.begin(job: 7, webUI: "http://web", pool: pool)
    log.logger(.test).info("to the test")
    log.logger(.test).debug("details")
    log.logger(.both).info("to both")
    log.logger().warning("to the worker")
    log.logger(.test).trace("never")
    log.end()
    try await pool.lane.run {}
    await recorder.output.flush()
    let pid = "[pid:\(ProcessInfo.processInfo.processIdentifier)]"
    #expect(recorder.lines == expected.shown.map { $0.replacing("P ", with: "\(pid) ") + "\n" })
    for (name, lines) in [("worker-log.txt", expected.workerLog), ("autoinst-log.txt", expected.testLog)] {
      let text = try Files.read(pool.path.appending(name)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      let found = text.split(separator: "\n").map(String.init)
      let texts = found.map { $0.drop { $0 != " " }.dropFirst() }.map(String.init)
      #expect(texts == lines.map { $0.replacing("P ", with: "\(pid) ") })
      let time = /\[[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}(Z|[+-][0-9]{2}:[0-9]{2})\] .*/
      #expect(found.allSatisfy { $0.wholeMatch(of: time) != nil })
    }
  }

  @Test("the journal gets a priority for each line, and all of the text")
  func priorities() {
    let format = LogFormat(hasPriority: true)
    let levels: [(Settings.LogLevel, Int)] = [
      (.trace, 7), (.debug, 7), (.info, 6), (.warn, 4), (.error, 3), (.fatal, 2),
    ]
    for (level, priority) in levels {
      let text = format.text(of: LogRecord(level, "one\n\n two"))
      #expect(text == "<\(priority)>[\(level.rawValue)] one\n<\(priority)>\n<\(priority)> two\n")
    }
  }

  @Test("only the stream that the journal reads has priorities")
  func journal() throws {
    let folder = try TemporaryFolder()
    let file = try FileDescriptor.open(
      folder.path.appending("stream"), .writeOnly, options: .create, permissions: .ownerReadWrite)
    defer { try? file.close() }
    let identity = try #require(Files.status(of: folder.path.appending("stream"))).identity
    let stream = "\(identity[0]):\(identity[1])"
    #expect(LogOutput.isJournal(file, environment: ["JOURNAL_STREAM": stream]))
    #expect(!LogOutput.isJournal(file, environment: ["JOURNAL_STREAM": "\(identity[0]):1"]))
    #expect(!LogOutput.isJournal(file, environment: ["JOURNAL_STREAM": ""]))
    #expect(!LogOutput.isJournal(file, environment: [:]))
  }

  @Test("JSON is an object a line, whatever is said")
  func json() throws {
    let bytes = (0...255).map { UInt8($0) }
    var record = LogRecord(.warn, String(decoding: bytes, as: UTF8.self) + "\r\n\u{2028}\"\\ü")
    record.slot = 3
    record.job = 42
    record.webUI = "http://web"
    record.process = 1
    let text = LogFormat(.json).text(of: record)
    #expect(text.utf8.filter { $0 == UInt8(ascii: "\n") }.count == 1 && text.hasSuffix("\n"))
    // Foundation's reader, since a writer and a reader of one hand can share an error.
    let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(object["message"] as? String == record.message)
    #expect(object["level"] as? String == "warn" && object["time"] as? String == record.time)
    #expect(object["slot"] as? Int == 3 && object["job"] as? Int == 42 && object["web_ui"] as? String == "http://web")
    #expect(object.count == 6)
    let bare = LogFormat(.json, hasPriority: true).text(of: LogRecord(.info, "x"))
    #expect(bare.hasPrefix("<6>{") && !bare.contains("slot") && !bare.contains("job") && !bare.contains("web_ui"))
  }

  @Test("a line that is not about a running job names no job")
  func jobOfALine() async throws {
    let folder = try TemporaryFolder()
    let pool = try Pool(folder.path)
    let lines = Guarded<[String]>([])
    let output = try LogOutput(LogFormat(.json)) { line in lines.withLock { $0.append(line) } }
    let log = SlotLog(level: .info, slot: 2, output: output)
    log.logger().info("before")
    log.begin(job: 9, webUI: "http://a", pool: pool)
    log.logger().info("during")
    log.logger(webUI: "http://b").info("of another")
    log.end()
    log.logger().info("after")
    await log.flush()
    let objects = try lines.withLock { $0 }.map { try JSON(parsing: Array($0.utf8)) }
    #expect(objects.map { $0["job"]?.integer } == [nil, 9, 9, nil])
    #expect(objects.map { $0["web_ui"]?.string } == [nil, "http://a", "http://b", nil])
    #expect(objects.allSatisfy { $0["slot"] == 2 })
  }

  @Test("who logs to a stuck sink does not wait; the oldest lines give way, with their number")
  func stuck() async throws {
    let gate = DispatchSemaphore(value: 0)
    let (lines, began) = (Guarded<[String]>([]), Latch<Void>())
    let output = try LogOutput(limit: 1000) { line in
      began.open(with: ())
      gate.wait()
      lines.withLock { $0.append(line) }
    }
    output.write(LogRecord(.info, "first"))
    try await began.reached()
    for number in 1000..<2000 { output.write(LogRecord(.info, "\(number)")) }
    // 12 bytes each: 83 wait, the others are gone.
    for _ in 0..<85 { gate.signal() }
    await output.flush()
    let expected = ["[info] first\n", "[warn] 917 lines dropped\n"] + (1917..<2000).map { "[info] \($0)\n" }
    #expect(lines.withLock { $0 } == expected)
  }

  @Test("flushing a stuck sink takes a second and no longer")
  func stuckFlush() async throws {
    let gate = DispatchSemaphore(value: 0)
    let output = try LogOutput { _ in gate.wait() }
    output.write(LogRecord(.info, "x"))
    let duration = await ContinuousClock().measure { await output.flush() }
    gate.signal()
    #expect(duration >= .seconds(1) && duration < .seconds(20))
  }

  @Test("a log file is appended to, with times, in a directory that is made; it can be moved away")
  func file() async throws {
    let folder = try TemporaryFolder()
    let recorder = try LogRecorder()
    let path = folder.path.appending("a/b/host-1.log")
    let output = try LogOutput.file(path, fallback: recorder.output)
    output.write(LogRecord(.info, "one"))
    await output.flush()
    try Files.move(path, to: folder.path.appending("old"))
    output.write(LogRecord(.error, "two"))
    await output.flush()
    let old = try #require(try Files.read(folder.path.appending("old")))
    let new = try #require(try Files.read(path))
    #expect(String(decoding: old, as: UTF8.self).wholeMatch(of: /\[2[^\]]*\] \[info\] one\n/) != nil)
    #expect(String(decoding: new, as: UTF8.self).wholeMatch(of: /\[2[^\]]*\] \[error\] two\n/) != nil)
    #expect(recorder.lines.isEmpty)
  }

  @Test("lines for a log file that cannot be written go to standard output")
  func unwritableFile() async throws {
    let folder = try TemporaryFolder()
    let recorder = try LogRecorder()
    try Files.replace(folder.path.appending("plain"), with: [])
    let output = try LogOutput.file(folder.path.appending("plain/x.log"), fallback: recorder.output)
    output.write(LogRecord(.info, "one"))
    output.write(LogRecord(.info, "two"))
    await output.flush()
    await recorder.output.flush()
    #expect(recorder.lines.map { $0.suffix(11) } == ["[info] one\n", "[info] two\n"])
  }

  @Test("a pool that cannot be written is told once for each of its logs")
  func unwritablePool() async throws {
    let folder = try TemporaryFolder()
    let pool = try Pool(folder.path.appending("gone"))
    let recorder = try LogRecorder()
    let log = SlotLog(level: .info, output: recorder.output)
    log.begin(job: 5, webUI: "http://web", pool: pool)
    for _ in 0..<10 { log.logger(.both).info("x") }
    try await pool.lane.run {}
    await log.flush()
    let told = recorder.lines.filter { $0.contains("lacks lines") }
    #expect(told.count == 2)
    #expect(told.contains { $0.hasPrefix("[error] autoinst-log.txt of job 5 lacks lines: ") && $0.contains("gone") })
  }

  @Test("a job at the most talkative level logs no secret")
  func secrets() async throws {
    let bench = try await Workbench(change: { $0.logLevel = .trace })
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule())
      #expect(job.result == "passed")
      for name in ["autoinst-log.txt", "worker-log.txt"] {
        let log = try #require(try bench.arrived(job.id, name))
        #expect(!log.isEmpty && !log.contains("SECRET"), "\(name)")
        #expect(log.firstMatch(of: /[0-9a-f]{40}/) == nil, "no digest of a signature in \(name)")
      }
    }
    #expect(bench.log.lines.contains { $0.contains("finished - passed") })
    for line in bench.log.lines {
      #expect(!line.contains("SECRET") && line.firstMatch(of: /[0-9a-f]{40}/) == nil, "\(line)")
    }
  }
}
