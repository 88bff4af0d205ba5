import Foundation
import OpenQAProtocol
import Support
import TestSupport
import Testing

/// What a real web UI and its own worker said to each other: theirs decodes, ours has their fields and types.
@Suite("Recorded messages")
struct RecordedMessagesTests {
  static func text(_ name: String) throws -> String {
    let url = try #require(Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: nil))
    return try String(contentsOf: url, encoding: .utf8)
  }

  static func json(_ name: String) throws -> JSON { try JSON(parsing: text("\(name).json")) }

  // MARK: What the web UI says

  @Test("one job")
  func grabJob() throws {
    let text = try Self.text("grab_job.json")
    guard case .grabJob(let job) = try WebUIMessage(parsing: text) else {
      Issue.record("not a job")
      return
    }
    #expect(job.id == 2)
    #expect(job.setting("TEST") == "basic" && job.setting("JOBTOKEN")?.isEmpty == false)
    #expect(try job.json == JSON(parsing: text)["job"], "what we pass on stays as it came")
  }

  @Test("several jobs")
  func grabJobs() throws {
    guard case .grabJobs(let sequence) = try WebUIMessage(parsing: Self.text("grab_jobs.json")) else {
      Issue.record("no jobs")
      return
    }
    let ids = sequence.jobs.keys.sorted()
    #expect(ids.count == 2)
    #expect(sequence.sequence.count == 2 && Set(sequence.sequence) == Set(ids.map { .job($0) }))
  }

  @Test(
    "commands and answers",
    arguments: [
      ("info-2023", WebUIMessage.info), ("info-2026", .info), ("command-cancel", .command(.cancel, job: 6)),
      ("command-livelog_start", .command(.startLiveLog, job: 7)),
      ("command-livelog_stop", .command(.stopLiveLog, job: 7)),
    ])
  func commands(name: String, expected: WebUIMessage) throws {
    let message = try WebUIMessage(parsing: Self.text("\(name).json"))
    switch (message, expected) {
    case (.command(let command, _), .command(let other, _)): #expect(command == other)
    default: #expect(message == expected)
    }
  }

  @Test("registration")
  func registration() throws {
    #expect(try WorkerRegistration.Answer(Self.json("registration-answer-2023")).servicePortDelta == 2)
    let newer = try WorkerRegistration.Answer(Self.json("registration-answer-2026"))
    #expect(try .integer(Int64(newer.servicePortDelta)) == Self.json("registration-answer-2026")["service_port_delta"])
  }

  @Test("answers to statuses")
  func statusAnswers() throws {
    let first = JobStatus.Answer(try Self.json("status-running-first-answer"))
    #expect(first.knownImages == [] && first.knownFiles == [])
    let final = JobStatus.Answer(try Self.json("status-final-answer"))
    #expect(final.knownImages?.isEmpty == false)
    let cancelled = JobStatus.Answer(try Self.json("status-final-cancelled-answer"))
    #expect(cancelled.knownImages == nil && cancelled.knownFiles == nil)
    _ = JobStatus.Answer(try Self.json("status-uploading-cancelled-answer"))
  }

  @Test("ends of jobs", arguments: [("basic", StopReason.done), ("cancel", .cancelled), ("quit", .quit)])
  func ends(scenario: String, stop: StopReason) throws {
    let ends = try #require(try Self.json("ends").array)
    let end = try #require(
      ends.first { $0["scenario"]?.string == scenario && $0["path"]?.string?.hasSuffix("set_done") == true })
    let worker = try #require(end["query"]?.string?.split(separator: "=").last.flatMap { Int64($0) })
    let query = JobEnd(stop).parameters(workerID: worker).map {
      "\($0.name)=\($0.value.replacing(" ", with: "+").replacing(":", with: "%3A").replacing("/", with: "%2F"))"
    }
    #expect(query.joined(separator: "&") == end["query"]?.string)
  }

  // MARK: What we say

  @Test("statuses of the worker")
  func workerStatus() throws {
    #expect(try WorkerMessage.status(.free).json == Self.json("worker_status-free"))
    let broken = try Self.json("worker_status-broken")
    #expect(try WorkerMessage.status(.broken(reason: #require(broken["reason"]?.string))).json == broken)
    let working = try Self.json("worker_status-working")
    let job = try JobInfo(#require(working["job"]))
    let host = try #require(working["current_webui_host"]?.string)
    #expect(WorkerMessage.status(.working(job, webUI: host)).json == working)
  }

  @Test("acceptance, rejection, farewell")
  func messages() throws {
    let accepted = try Self.json("accepted")
    #expect(try WorkerMessage.accepted(job: #require(accepted["jobid"]?.integer)).json == accepted)
    let rejected = try Self.json("rejected")
    let ids = try #require(rejected["job_ids"]?.array).compactMap(JobInfo.id(of:))
    #expect(
      try WorkerMessage.rejected(jobs: ids, reason: #require(rejected["reason"]?.string)).json.shape
        == rejected.shape)
    #expect(try WorkerMessage.quit.json == Self.json("quit"))
  }

  @Test("the registration's parameters")
  func parameters() throws {
    let body = try Self.json("registration-body")
    func text(_ key: String) -> String { body[key]?.scalar ?? "" }
    let registration = WorkerRegistration(
      host: text("host"), instance: Int(text("instance")) ?? 0, architecture: text("cpu_arch"),
      processor: ["cpu_modelname", "cpu_opmode", "cpu_flags"].reduce(into: [:]) { $0[$1] = text($1) },
      memory: Int(text("mem_max")) ?? 0, workerClass: text("worker_class"),
      isotovideoInterfaceVersion: Int(text("isotovideo_interface_version")) ?? 0)
    #expect(registration.body(jobs: []) == body)
    let query = try Self.text("registration-query.txt").trimmed.split(separator: "&").map { pair in
      pair.replacing("+", with: " ").removingPercentEncoding ?? ""
    }
    #expect(registration.parameters(jobs: []).map { "\($0.name)=\($0.value)" } == query)
    #expect(registration.parameters(jobs: [4, 5]).filter { $0.name == "job_id" }.map(\.value) == ["4", "5"])
    var parallel = registration
    parallel.parallelOneHostOnly = "1"
    #expect(parallel.parameters(jobs: []).contains { $0 == ("parallel_one_host_only", "1") })
    #expect(parallel.body(jobs: [])["parallel_one_host_only"] == "1")
  }

  @Test("statuses of the job")
  func jobStatus() throws {
    #expect(try JSON(parsing: JobStatus.setup(workerID: 1).body) == Self.json("status-setup"))
    let waiting = try JSON(parsing: JobStatus.setup(workerID: 1, waitingFor: "downloading hdd/a").body)
    #expect(waiting == ["status": ["setup": 1, "worker_id": 1, "setup_progress": "downloading hdd/a"]])
    #expect(try JSON(parsing: JobStatus.uploading(workerID: 1).body) == Self.json("status-uploading"))
    for name in ["status-running-first", "status-running", "status-final"] {
      let recorded = try Self.json(name)
      let status = try #require(recorded["status"])
      var results = JobStatus.Results(
        workerID: try #require(status["worker_id"]?.integer),
        commandServerURL: try #require(status["cmd_srv_url"]?.string),
        workerHostname: try #require(status["worker_hostname"]?.string))
      results.testOrder = status["test_order"]?.array
      results.modules = (status["result"]?.object ?? [:]).mapValues(\.bytes)
      #expect(try JSON(parsing: JobStatus.results(results).body) == recorded, "\(name)")
    }
  }
}
