/// What a slot is at, for whoever looks after the host.
struct SlotCondition: Sendable, Hashable, CustomStringConvertible {
  /// Whether each web UI was asked to take this worker; what came of it does not matter.
  var isRegistered = false
  /// The process that it waits for to leave the pool, before it registers; empty if that is not known.
  var poolHolder: String?
  var phase = SlotState.Phase.idle
  /// Takes no more jobs.
  var isStopping = false
  /// Why no jobs can be taken.
  var unavailability: String?

  /// Whether it has come to where it only waits for others.
  var isSettled: Bool { isRegistered || poolHolder != nil }

  /// A few words, such as `job 12`.
  var description: String {
    if let poolHolder {
      return "waits for another worker-agent\(poolHolder.isEmpty ? "" : ", PID \(poolHolder),") to leave the pool"
    }
    return switch phase {
    case .idle: unavailability.map { "broken: \($0)" } ?? (isRegistered ? "idle" : "registers")
    case .busy(let job, _): isStopping ? "job \(job), the last" : "job \(job)"
    case .finishing: "cleans up after a job"
    case .ended: "ended"
    }
  }
}
