/// What a slot is at, for whoever looks after the host.
struct SlotCondition: Sendable, Hashable, CustomStringConvertible {
  /// Whether each web UI was asked to take this worker; what came of it does not matter.
  var isRegistered = false
  var phase = SlotState.Phase.idle
  /// Takes no more jobs.
  var isStopping = false
  /// Why no jobs can be taken.
  var unavailability: String?

  /// A few words, such as `job 12`.
  var description: String {
    switch phase {
    case .idle: unavailability.map { "broken: \($0)" } ?? "idle"
    case .busy(let job, _): isStopping ? "job \(job), the last" : "job \(job)"
    case .finishing: "cleans up after a job"
    case .ended: "ended"
    }
  }
}
