/// How a job ends for the web UI: the parameters of `set_done` (protocol §7).
///
/// The one place where reasons are worded. Web UIs match them to decide about cloning a job, so they hold to the byte.
package struct JobEnd: Sendable, Hashable {
  /// Nil leaves it to the web UI to compute the result from the modules'.
  package private(set) var result: String?
  package private(set) var reason: String?
  /// A newer build made this job obsolete.
  package private(set) var isNewBuild = false

  /// What is known when a job ends, beside the reason that it stopped for.
  package struct Evidence: Sendable, Hashable {
    package var baseState: BaseState
    /// The backend's log, or what is worth searching of it.
    package var log: String
    /// Why results could not be uploaded for good: `Unable to upload images: …`.
    package var uploadFailure: String?
    /// A warning about results that the web UI refuses and therefore does not show.
    package var warning: String?

    package init(baseState: BaseState = .missing, log: String = "", uploadFailure: String? = nil) {
      self.baseState = baseState
      self.log = log
      self.uploadFailure = uploadFailure
    }
  }

  /// Words the end of a job that stopped for `stop`.
  package init(_ stop: StopReason, evidence: Evidence = Evidence()) {
    switch stop {
    case .done:
      if case .known(_, _, let result) = evidence.baseState { self.result = result }
      reason = JobEnd.refined("done", by: evidence)
      if reason == "done" { reason = evidence.uploadFailure.map { "api failure: \($0)" } ?? evidence.warning }
    case .died:
      result = "incomplete"
      reason = JobEnd.refined("died", by: evidence)
      if reason == "died" { reason = "died: terminated prematurely, see log output for details" }
    case .timedOut(let limit):
      result = "timeout_exceeded"
      reason =
        switch limit {
        case .setup: "timeout: setup exceeded MAX_SETUP_TIME"
        case .execution: "timeout: test execution exceeded MAX_JOB_TIME"
        }
    case .setupFailure(let failure):
      result = "incomplete"
      reason = failure.description
    case .apiFailure(let lastError):
      result = "incomplete"
      reason = lastError.map { "api failure: \($0)" } ?? "api failure"
    case .cancelled:
      result = "user_cancelled"
    case .obsoleted:
      result = "incomplete"
      isNewBuild = true
      reason = JobEnd.refined(stop.name, by: evidence)
    case .quit:
      result = "incomplete"
      reason = "quit: worker has been stopped or restarted"
    case .workerBroken(let error):
      result = "incomplete"
      reason = "worker broken: \(error)"
    case .workerDied(let times):
      result = "incomplete"
      reason = "worker died \(times) times while running this job"
    case .lost(let why):
      result = "incomplete"
      reason = "worker lost this job: \(why)"
    case .aborted, .other:
      result = "incomplete"
      reason = JobEnd.refined(stop.name, by: evidence)
    }
  }

  /// Of a job that is not run (protocol §3.3): because it was to stop before its turn came, or, without a reason, because
  /// another one did not end as it had to.
  package init(skippedFor stop: StopReason?) {
    result = "skipped"
    reason = stop.flatMap { JobEnd($0).reason }
  }

  /// The query of `set_done` for the given worker.
  package func parameters(workerID: Int64) -> [(name: String, value: String)] {
    var parameters: [(name: String, value: String)] = []
    if isNewBuild { parameters.append(("newbuild", "1")) }
    if let reason { parameters.append(("reason", reason)) }
    if let result { parameters.append(("result", result)) }
    parameters.append(("worker_id", String(workerID)))
    return parameters
  }

  /// `word` with what isotovideo left behind about it.
  private static func refined(_ word: String, by evidence: Evidence) -> String {
    switch evidence.baseState {
    case .missing: return word
    case .corrupt:
      let cause = evidence.log.contains("No space left on device") ? ": No space left on device" : ""
      return word == "done"
        ? "done: terminated with corrupted state file\(cause)"
        : "terminated prematurely: Encountered corrupted state file\(cause), see log output for details"
    case .known(let component, let message, _):
      var reason = word
      if let component { reason = "\(component) \(reason)" }
      // The first line as Perl has it: up to the first newline, nothing else ends a line.
      if let line = message?.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false).first {
        reason += ": \(line)"
      }
      let qemuEnded = ["QEMU exited unexpectedly", "QEMU terminated"].contains {
        reason.contains("backend died: \($0)")
      }
      if qemuEnded, let cause = qemuFailure(in: evidence.log) {
        return "QEMU terminated: \(cause), see log output of details"
      }
      return reason
    }
  }

  /// A line of the backend's log that tells how a job ended has one of these in it.
  package static let tellingTexts = ["No space left on device", "Failed to allocate KVM", "Could not find"]

  private static func qemuFailure(in log: String) -> String? {
    for line in log.split(separator: "\n") {
      if let match = line.firstMatch(of: /Failed to allocate KVM .* Cannot allocate memory/) { return String(match.0) }
      if let match = line.firstMatch(of: /Could not find .*smbd.*please install it/) { return String(match.0) }
    }
    return nil
  }
}
