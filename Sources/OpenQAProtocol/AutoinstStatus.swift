package import Support

/// isotovideo's `autoinst-status.json` (protocol §6).
package struct AutoinstStatus: Sendable, Hashable {
  /// The module that runs; nil before the first.
  package var currentTest: String?
  /// Nil, or why the test pauses.
  package var pauseReason: String?
  /// `initial`, `running` or `finished`.
  package var status: String

  package init(_ json: JSON) {
    currentTest = json["current_test"]?.scalar.flatMap { $0.isEmpty ? nil : $0 }
    let paused = json["test_execution_paused"] ?? .null
    pauseReason = paused.isTruthy ? paused.scalar ?? "paused" : nil
    status = json["status"]?.scalar ?? ""
  }
}
