import Support

/// An agent process that has begun or resumed a job, as the job's record has it.
struct JobHolder: Sendable, Hashable {
  /// The fate of the process, as far as it tells of the job.
  enum Fate: String, Sendable, Hashable {
    /// It has just taken the job. What is found in a record has died early.
    case early
    /// It ran with the job for ``JobHolder/probation``.
    case lasted
    /// It was asked to end, or to hand over.
    case asked
  }

  /// The time after which a process's death is not blamed on its job.
  static let probation = Duration.seconds(60)
  /// The number of early deaths in a row after which a job is not resumed.
  static let maximumDeaths = 3
  /// The number of holders that a record keeps.
  private static let maximumKept = 8

  var pid: Int64
  var fate = Fate.early

  /// The holders after another one has taken the job.
  static func add(_ holder: JobHolder, to holders: [JobHolder]) -> [JobHolder] {
    Array((holders + [holder]).suffix(maximumKept))
  }

  /// The number of processes that died early with the job, one after the other, to the last one.
  static func deaths(_ holders: [JobHolder]) -> Int { holders.reversed().prefix { $0.fate == .early }.count }
}

extension JobHolder {
  /// The holder as a record has it.
  var record: JSON { ["pid": .integer(pid), "fate": .string(fate.rawValue)] }

  /// Reads a holder. An unknown fate is taken for that of a process that lasted, and does not count against the job.
  init?(record json: JSON) {
    guard let pid = json["pid"]?.integer else { return nil }
    self.pid = pid
    fate = json["fate"]?.string.map { Fate(rawValue: $0) ?? .lasted } ?? .lasted
  }
}
