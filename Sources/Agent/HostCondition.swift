import OpenQAProtocol

/// What is known of a slot's host, as far as it was looked at, and what that means for jobs (protocol §4).
///
/// The texts are those of openQA's worker where it has one: who looks after many workers searches for them.
struct HostCondition: Sendable, Hashable {
  /// The asset cache's, in the words that web UIs show.
  var cacheProblem: String?
  /// A process of an earlier job that cannot be ended.
  var leftover: String?
  /// The process of a QEMU that still runs on the pool.
  var qemu: Int32?
  /// Why the pool cannot be used, with what to do about it.
  var poolProblem: String?
  /// The faults that have failed a job and are still there: what is wrong, and what to do about it.
  var faults: [HostFault: String] = [:]
  /// Why jobs cannot be started on this host: a program is missing or cannot be executed.
  var programProblem: String?
  /// Web UIs can be told how to reach this host.
  var hasAddress = true
  /// The D-Bus service that is needed and not there, as it is called in messages.
  var missingService: String?
  var load: LoadAverage?
  /// With a greater load, no more jobs.
  var criticalLoad: Double?
  /// The pool's file system, if it has less space than it should.
  var lackOfSpace: LackOfSpace?
  /// Why no further job can start now.
  var limit: StartLimit.Refusal?
  /// What could not be found out, in words for the log. It keeps no jobs off.
  var unknown: Set<String> = []

  /// Too little free space.
  struct LackOfSpace: Sendable, Hashable {
    var path: String
    /// Bytes.
    var free: Int64
    /// Bytes.
    var minimum: Int64
  }

  /// What comes first in the order of the protocol; nil if nothing is in the way.
  ///
  /// Whatever would spoil the next job is fatal. What only asks for fewer jobs is not: those that are queued are this
  /// host's already.
  var obstacle: Obstacle? {
    if let cacheProblem { return Obstacle(cacheProblem, isFatal: true) }
    if let leftover {
      return Obstacle("A process of an earlier job cannot be ended (\(leftover)): end it", isFatal: true)
    }
    if let qemu {
      return Obstacle("A QEMU instance using the current pool directory is still running (PID: \(qemu))", isFatal: true)
    }
    if let poolProblem { return Obstacle("Unable to lock pool directory: \(poolProblem)", isFatal: true) }
    if let fault = HostCondition.first(of: faults) { return fault }
    if let programProblem { return Obstacle("Unable to start jobs: \(programProblem)", isFatal: true) }
    if !hasAddress { return Obstacle("Unable to determine worker address (WORKER_HOSTNAME)", isFatal: true) }
    if let missingService { return Obstacle("D-Bus service '\(missingService)' is not running", isFatal: true) }
    if let load, let criticalLoad, load.isCritical(above: criticalLoad) {
      return Obstacle(
        "The average load (\(load)) is exceeding the configured threshold of \(criticalLoad.plain). The worker will "
          + "temporarily not accept new jobs until the load is lower again.")
    }
    if let lackOfSpace { return Obstacle(lackOfSpace.description) }
    switch limit {
    case .noPlace(let name): return Obstacle("Limited by configured lock '\(name)'", isEphemeral: true)
    case .unusable(let name, let problem): return Obstacle("Unable to use the configured lock '\(name)': \(problem)")
    case nil: return nil
    }
  }
}

extension HostCondition {
  /// The fault to be shown first: what it spoils comes earlier in a job.
  private static func first(of faults: [HostFault: String]) -> Obstacle? {
    func rank(_ fault: HostFault) -> Int {
      switch fault {
      case .uncleanPool: 0
      case .unwritablePool: 1
      case .noShare: 2
      case .unwritableCache: 3
      case .noIsotovideo: 4
      case .noPerl: 5
      }
    }
    // Of several shares, the same one each time.
    let first = faults.min { (rank($0.key), $0.value) < (rank($1.key), $1.value) }
    guard let (fault, problem) = first else { return nil }
    let text =
      switch fault {
      case .uncleanPool: "Unable to clean pool directory: \(problem)"
      case .unwritablePool: "Unable to use pool directory: \(problem)"
      case .noShare: problem
      case .unwritableCache: "Unable to use cache directory: \(problem)"
      case .noIsotovideo, .noPerl: "Unable to start jobs: \(problem)"
      }
    return Obstacle(text, isFatal: true)
  }
}

extension HostCondition.LackOfSpace: CustomStringConvertible {
  /// `1.5 GiB free on …`, with what to do.
  var description: String {
    func gibibytes(_ bytes: Int64) -> String { (Double(bytes / (1 << 20) * 100 / (1 << 10)) / 100).plain }
    return "Only \(gibibytes(free)) GiB are free in \(path), and POOL_MIN_FREE_GB asks for \(gibibytes(minimum)): "
      + "free space there, or set POOL_MIN_FREE_GB lower (0 is off)"
  }
}

/// The load of a host as the kernel tells it: averages over 1, 5 and 15 minutes.
struct LoadAverage: Sendable, Hashable, CustomStringConvertible {
  /// The averages as they were written.
  let description: String
  private let averages: [Double]

  /// Reads what `/proc/loadavg` looks like; nil for anything that does not begin with three numbers.
  init?(_ text: String) {
    let words = text.split(whereSeparator: \.isWhitespace).prefix(3)
    averages = words.compactMap { Double($0) }.filter(\.isFinite)
    guard averages.count == 3 else { return nil }
    description = words.joined(separator: " ")
  }

  /// Whether the load is above `threshold`, unless it was and is about to fall below.
  func isCritical(above threshold: Double) -> Bool {
    guard averages.contains(where: { $0 > threshold }) else { return false }
    let isRising = averages[0] > averages[1] || averages[0] > averages[2]
    return isRising || averages.allSatisfy { $0 > threshold }
  }
}

extension Double {
  /// As people write it: `40`, `0.5`.
  fileprivate var plain: String { Int64(exactly: self).map(String.init) ?? String(self) }
}
