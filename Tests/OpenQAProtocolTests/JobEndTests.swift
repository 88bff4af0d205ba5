import OpenQAProtocol
import Testing

@Suite("The end of a job, worded")
struct JobEndTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var stop: StopReason
    var evidence = JobEnd.Evidence()
    var result: String?
    var reason: String?
    var testDescription: String { "\(stop) \(evidence)" }
  }

  static let cases: [Case] = [
    Case(stop: .done, result: nil, reason: nil),
    Case(
      stop: .done, evidence: .init(baseState: .known(component: nil, message: nil, result: "failed")), result: "failed"),
    Case(
      stop: .done, evidence: .init(uploadFailure: "Unable to upload images: posting status failed"),
      reason: "api failure: Unable to upload images: posting status failed"),
    Case(
      stop: .done, evidence: .init(baseState: .known(component: "tests", message: "a\nb", result: nil)),
      reason: "tests done: a"),
    Case(stop: .done, evidence: .init(baseState: .corrupt), reason: "done: terminated with corrupted state file"),
    Case(
      stop: .done, evidence: .init(baseState: .corrupt, log: "x\nfoo: No space left on device\n"),
      reason: "done: terminated with corrupted state file: No space left on device"),
    Case(
      stop: .workerDied(times: 3),
      evidence: .init(baseState: .known(component: "tests", message: "a", result: "failed")), result: "incomplete",
      reason: "worker died 3 times while running this job"),
    Case(
      stop: .lost("a newer worker has written its record"),
      evidence: .init(baseState: .known(component: "tests", message: "a", result: "failed")), result: "incomplete",
      reason: "worker lost this job: a newer worker has written its record"),
    Case(stop: .died, result: "incomplete", reason: "died: terminated prematurely, see log output for details"),
    Case(
      stop: .died,
      evidence: .init(
        baseState: .known(component: "backend", message: "QEMU terminated before QMP\nmore", result: "incomplete")),
      result: "incomplete", reason: "backend died: QEMU terminated before QMP"),
    Case(
      stop: .died,
      evidence: .init(
        baseState: .known(component: "backend", message: "QEMU exited unexpectedly, see log", result: nil),
        log: "a\nqemu: Failed to allocate KVM HPT of order 25: Cannot allocate memory\nb"),
      result: "incomplete",
      reason:
        "QEMU terminated: Failed to allocate KVM HPT of order 25: Cannot allocate memory, see log output of details"),
    Case(
      stop: .died, evidence: .init(baseState: .corrupt), result: "incomplete",
      reason: "terminated prematurely: Encountered corrupted state file, see log output for details"),
    Case(
      stop: .timedOut(.execution), result: "timeout_exceeded",
      reason: "timeout: test execution exceeded MAX_JOB_TIME"),
    Case(stop: .timedOut(.setup), result: "timeout_exceeded", reason: "timeout: setup exceeded MAX_SETUP_TIME"),
    Case(
      stop: .setupFailure(SetupFailure(.asset, "Cannot find ISO asset iso/x.iso!")), result: "incomplete",
      reason: "asset failure: Cannot find ISO asset iso/x.iso!"),
    Case(
      stop: .apiFailure("503 response: Service Unavailable"), result: "incomplete",
      reason: "api failure: 503 response: Service Unavailable"),
    Case(stop: .apiFailure(nil), result: "incomplete", reason: "api failure"),
    Case(stop: .cancelled, result: "user_cancelled"),
    Case(stop: .quit, result: "incomplete", reason: "quit: worker has been stopped or restarted"),
    Case(stop: .obsoleted, result: "incomplete", reason: "obsolete"),
    Case(
      stop: .workerBroken("Unable to optimize image: x"), result: "incomplete",
      reason: "worker broken: Unable to optimize image: x"),
    Case(stop: .other("no tests scheduled"), result: "incomplete", reason: "no tests scheduled"),
  ]

  static let skips: [(stop: StopReason?, reason: String?)] = [
    (nil, nil), (.cancelled, nil), (.quit, "quit: worker has been stopped or restarted"), (.obsoleted, "obsolete"),
    (.aborted, "abort"),
  ]

  @Test("of a job that is not run", arguments: skips)
  func skipped(stop: StopReason?, reason: String?) {
    let end = JobEnd(skippedFor: stop)
    #expect(end.result == "skipped" && end.reason == reason && !end.isNewBuild)
  }

  @Test("result and reason", arguments: cases)
  func wording(_ example: Case) {
    let end = JobEnd(example.stop, evidence: example.evidence)
    #expect(end.result == example.result)
    #expect(end.reason == example.reason)
    #expect(end.isNewBuild == (example.stop == .obsoleted))
  }

  @Test("set_done's query")
  func parameters() {
    let query = JobEnd(.obsoleted).parameters(workerID: 7).map { "\($0.name)=\($0.value)" }
    #expect(query == ["newbuild=1", "reason=obsolete", "result=incomplete", "worker_id=7"])
    #expect(JobEnd(.done).parameters(workerID: 7).map(\.name) == ["worker_id"])
  }

  @Test(
    "base_state.json",
    arguments: [
      (nil, BaseState.missing), ("", .corrupt), ("[]", .corrupt), ("{", .corrupt),
      (
        #"{"component":"backend","msg":"m","result":"died"}"#,
        .known(component: "backend", message: "m", result: "died")
      ),
      ("{}", .known(component: nil, message: nil, result: nil)),
    ] as [(String?, BaseState)])
  func baseState(content: String?, expected: BaseState) {
    #expect(BaseState(parsing: content.map { Array($0.utf8) }) == expected)
  }
}
