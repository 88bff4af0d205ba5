import Configuration
import Live
import OpenQAProtocol
import Support
import Testing

@testable import Agent

@Suite("A job's record")
struct JobRecordTests {
  private static func record(_ change: (inout JobRecord) -> Void = { _ in }) throws -> JobRecord {
    let job = try JobInfo(["id": 7, "settings": ["NAME": "x", "NUMBER": .number("1.50")], "assigned_worker_id": "3"])
    var record = JobRecord(webUI: "https://web.ui", workerID: 3, grabbed: job, bootID: "boot")
    change(&record)
    return record
  }

  @Test(
    "another process reads what one has written",
    arguments: [
      nil, .done, .died, .timedOut(.setup), .timedOut(.execution), .setupFailure(SetupFailure(.cache, "full")),
      .apiFailure(nil), .apiFailure("503"), .cancelled, .obsoleted, .aborted, .quit, .workerBroken("no"),
      .workerDied(times: 3), .lost("why"), .other("done"),
    ] as [StopReason?])
  func roundTrip(reason: StopReason?) throws {
    let record = try JobRecordTests.record {
      $0.prepared = $0.grabbed
      $0.prepared?.json["URL"] = "http://localhost:1/x"
      $0.startedAt = 12.5
      $0.reason = reason
      $0.skipReason = SkipReason("for a reason", reason)
      $0.finished = ["duplicated", "uploaded /pool/a b"]
      ($0.audience.viewers, $0.audience.hasDeveloper) = (3, true)
      $0.holders = [JobHolder(pid: 1, fate: .asked), JobHolder(pid: 2, fate: .lasted), JobHolder(pid: 3)]
      $0.liveOffsets = [.autoinst: 12, .userTerminal: 1 << 40]
    }
    #expect(try JobRecord(parsing: record.text, bootID: "boot") == record)
    #expect(record.phase == (reason == nil ? .executing : .reporting))
    let fresh = try JobRecordTests.record()
    #expect(try JobRecord(parsing: fresh.text, bootID: "boot") == fresh && fresh.phase == .settingUp)
  }

  @Test(
    "a job is given up after three early deaths in a row; who lasted or was asked to end breaks the row",
    arguments: [
      ("", 0), ("e", 1), ("ee", 2), ("eee", 3), ("eeee", 4), ("leee", 3), ("eeel", 0), ("eela", 0), ("elee", 2),
      ("eeae", 1), ("eeeeeeeeeeee", 8),
    ])
  func deaths(fates: String, count: Int) throws {
    let fate: [Character: JobHolder.Fate] = ["e": .early, "l": .lasted, "a": .asked]
    var record = try JobRecordTests.record()
    for (pid, name) in fates.enumerated() {
      record = record.taken(by: Int64(pid))
      record.note(fate[name] ?? .early)
    }
    #expect(JobHolder.deaths(record.holders) == count)
    var delivered = record
    delivered.finished = ["delivered"]
    delivered.giveUpIfDeadly(delivered: "delivered")
    #expect(delivered.reason == nil)
    record.reason = .done
    record.giveUpIfDeadly(delivered: "delivered")
    #expect(record.reason == (count < 3 ? .done : .workerDied(times: count)))
  }

  @Test("holders that make no sense do not count against the job")
  func oddHolders() throws {
    var json = try JSON(parsing: try JobRecordTests.record().text)
    json["holders"] = [1, "x", ["fate": "early"], ["pid": 1], ["pid": 2, "fate": "new"], ["pid": 3, "fate": "early"]]
    let record = try JobRecord(parsing: json.bytes, bootID: "boot")
    #expect(record.holders.map(\.fate) == [.lasted, .lasted, .early])
    json["holders"] = 7
    #expect(try JobRecord(parsing: json.bytes, bootID: "boot").holders.isEmpty)
  }

  @Test(
    "numbers that no worker has written are taken for none",
    arguments: [
      "nan", "inf", "-1e999", "9223372036854775807", "-9223372036854775808", "1e400", "x", "", "18446744073709551616",
    ])
  func oddNumbers(text: String) throws {
    var json = try JSON(parsing: try JobRecordTests.record().text)
    json["started_at"] = .string(text)
    for value in [
      JSON.string(text), Double(text) == nil || text == "nan" || text == "inf" ? .null : .number(text),
      Int64(text).map { .integer($0) } ?? .null,
    ] {
      json["live"] = ["viewers": value, "offsets": .object(["log": value, "serial_log": value])]
      json["holders"] = [["pid": value, "fate": "early"]]
      var record = try JobRecord(parsing: Array(json.text.utf8), bootID: "boot")
      #expect(record.startedAt?.isFinite ?? true)
      record.audience.note(.startLiveLog)
      #expect((1...1_000_001).contains(record.audience.viewers))
      #expect(record.liveOffsets.values.allSatisfy { $0 <= 1 << 60 })
    }
  }

  @Test(
    "limits of a job from any setting",
    arguments: [
      ("3s", "1", 3), ("1e19", "1", 1e9), ("7200", "1e308", 1e9), ("1e300", "1e300", 1e9), ("nan", "inf", 7200),
      ("-5", "0", 7200), ("100", "2.5x", 250), ("", "", 7200),
    ])
  func limits(time: String, scale: String, seconds: Double) throws {
    let job = try JobInfo([
      "id": 1,
      "settings": ["MAX_JOB_TIME": .string(time), "TIMEOUT_SCALE": .string(scale), "MAX_SETUP_TIME": .string(time)],
    ])
    let settings = try Settings(options: CommandLineOptions(), environment: [:]) { _ in nil }
    let limits = JobLimits(job, settings: settings)
    #expect(limits.execution == .seconds(seconds))
    #expect(limits.setup > .zero && limits.setup <= .longest)
  }

  static let unusableTexts: [(text: String, problem: String)] = [
    ("", "corrupt"), ("{", "corrupt"), ("[]", "corrupt: no version"), (#"{"version":2}"#, "a newer worker"),
    (#"{"version":2,"web_ui":"x","worker_id":1,"grabbed":{"id":"1","other":[]}}"#, "a newer worker"),
    (#"{"version":1}"#, "no boot_id"), (#"{"version":1,"boot_id":"old"}"#, "started anew"),
    (#"{"version":1,"boot_id":"boot"}"#, "no web_ui"),
    (#"{"version":1,"boot_id":"boot","web_ui":"x"}"#, "no worker_id"),
    (#"{"version":1,"boot_id":"boot","web_ui":"x","worker_id":1,"grabbed":{"id":1}}"#, "no settings"),
    (
      #"{"version":1,"boot_id":"boot","web_ui":"x","worker_id":1,"grabbed":{"id":1,"settings":{}},"reason":"x"}"#,
      "no reason to stop"
    ),
  ]

  @Test(
    "one that cannot be used says why; the loss of the job can be reported if it says which job",
    arguments: unusableTexts)
  func unusable(text: String, problem: String) throws {
    let error = try #require(
      #expect(throws: JobRecord.Unusable.self) { try JobRecord(parsing: Array(text.utf8), bootID: "boot") })
    #expect(error.description.contains(problem))
    #expect((error.lost != nil) == text.contains("grabbed"))
    guard let lost = error.lost else { return }
    #expect(lost.reason == .lost(error.description) && lost.phase == .reporting && lost.prepared == nil)
    #expect(lost.webUI == "x" && lost.workerID == 1 && lost.grabbed.id == 1)
    #expect(try JobRecord(parsing: lost.text, bootID: "boot") == lost)
  }

  @Test("one of version 1 is understood, with members that only a later worker knows")
  func recorded() throws {
    let text = """
      {"boot_id":"boot","finished":["noted"],"from_later":[1],"grabbed":{"id":7,"settings":{"NAME":"x"}},
      "holders":[{"fate":"asked","pid":7},{"fate":"early","pid":8}],
      "live":{"developer":true,"offsets":{"log":12},"viewers":2},
      "prepared":{"URL":"http://localhost:20013/abc","id":7,"settings":{"NAME":"x"}},
      "reason":{"limit":"execution","name":"timeout"},
      "rest":{},"result":"passed","started_at":12.5,"version":1,"web_ui":"https://web.ui","worker_id":3}
      """
    let record = try JobRecord(parsing: Array(text.utf8), bootID: "boot")
    #expect(record.webUI == "https://web.ui" && record.workerID == 3 && record.grabbed.id == 7)
    #expect(record.prepared?.json["URL"] == "http://localhost:20013/abc" && record.startedAt == 12.5)
    #expect(record.reason == .timedOut(.execution) && record.finished == ["noted"] && record.result == "passed")
    #expect(record.holders.map(\.fate) == [.asked, .early] && record.audience.viewers == 2)
    #expect(record.audience.hasDeveloper && record.liveOffsets == [.autoinst: 12])
  }

  @Test("one that is cut off anywhere is corrupt")
  func cut() throws {
    let text = try JobRecordTests.record { $0.reason = .quit }.text
    for length in text.indices {
      #expect(throws: JobRecord.Unusable.self) { try JobRecord(parsing: Array(text[..<length]), bootID: "boot") }
    }
  }
}
