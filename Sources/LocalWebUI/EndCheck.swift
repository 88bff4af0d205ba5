import Support

/// The end of a job as `set_done` tells it (protocol §7), checked as openQA does.
struct EndCheck: Sendable, Hashable {
  /// The results that a job can have.
  private static let results: Set<String> = [
    "none", "passed", "softfailed", "failed", "incomplete", "skipped", "obsoleted", "parallel_failed",
    "parallel_restarted", "user_cancelled", "user_restarted", "timeout_exceeded",
  ]

  /// The job's result; `nil` for what its modules amount to.
  let result: String?
  let reason: String?

  /// Creates the end of `job` from the parameters of a request. Of parameters that come twice, the last one counts.
  /// - Throws: ``Refusal``.
  init(_ parameters: [(name: String, value: String)], of job: LocalJob) throws(Refusal) {
    func value(_ name: String) -> String? { parameters.last { $0.name == name }?.value }
    var problems: [String: Refusal.ParameterProblem] = [:]
    for (name, minimum) in [("worker_id", 0), ("newbuild", 1)] as [(String, Int64)] {
      guard let text = value(name) else { continue }
      guard text.allSatisfy(\.isNumber), let number = Int64(text), number >= minimum else {
        problems[name] = .invalid
        continue
      }
    }
    guard problems.isEmpty else { throw Refusal(parameters: problems) }
    if let sender = value("worker_id").flatMap({ Int64($0) }), sender != 0 {
      guard let worker = job.worker else {
        throw Refusal(400, "Refusing to set result because job has already been re-scheduled.")
      }
      guard sender == worker else {
        throw Refusal(400, "Refusing to set result because job is currently assigned to worker \(worker)).")
      }
    }
    let given = value("result").flatMap { $0.isEmpty || $0 == "0" ? nil : $0.lowercased() }
    if value("newbuild") != nil {
      result = "obsoleted"
    } else {
      if let given, !EndCheck.results.contains(given) {
        throw Refusal(400, "Erroneous parameters (result invalid)\n")
      }
      result = given
    }
    reason = value("reason")
  }
}

extension LocalJob {
  /// The longest reason that is stored, in characters.
  private static let maximumReasonLength = 300

  /// Ends the job as `set_done` tells. A job that has a result keeps it, and a job that has a reason keeps that.
  mutating func finish(_ end: EndCheck) {
    timesEnded += 1
    let isFirst = state != .done || result == "none"
    let result = isFirst ? end.result ?? computedResult : self.result
    var reason = self.reason
    if isFirst || (reason ?? "").isEmpty {
      reason =
        end.reason.map { text in
          let text = text.prefix { $0 != "\0" }
          let characters = text.unicodeScalars
          guard characters.count > LocalJob.maximumReasonLength else { return String(text) }
          return String(characters.prefix(LocalJob.maximumReasonLength)) + "…"
        } ?? reason
    }
    if reason == nil, result == "incomplete" { reason = "no test modules scheduled/uploaded" }
    finish(result: result, reason: reason)
  }
}
