import Live
import OpenQAProtocol
import Support

/// What a slot means to do with its job, in a form that outlives the process: enough for another one to go on with it.
///
/// Intent, not copies: which images a web UI has, the web UI says.
struct JobRecord: Sendable, Hashable {
  /// What the job is at.
  enum Phase: Sendable, Hashable {
    /// Nothing of it has been started; what there is of it is made anew.
    case settingUp
    /// The backend was started, or was about to be.
    case executing
    /// Its stop is decided; the rest is to bring the results up and to say how it ended.
    case reporting
  }

  /// The version of this form: raised when an older program would misread a record, not for a member that it may leave out.
  /// A newer one is not understood, an older one has to be. In all versions, `version`, `boot_id`, `web_ui`, `worker_id` and
  /// the job's id in `grabbed` are what they are in this one.
  static let version: Int64 = 1

  /// The HOST entry of the web UI that gave the job.
  var webUI: String
  /// The slot's number there.
  var workerID: Int64
  /// The job as it was given.
  var grabbed: JobInfo
  /// The job with the worker's settings laid over and its command server's address; nil before it is set up.
  var prepared: JobInfo?
  /// Names the boot in which the backend runs, and in which `startedAt` counts.
  var bootID: String
  /// When the backend was started, as seconds since the boot.
  var startedAt: Double?
  /// Why the job stops, once that is decided.
  var reason: StopReason?
  /// What has been told or brought to the web UI and must not be again.
  var finished: Set<String> = []
  /// The jobs that come after it.
  var rest = JobQueue()
  /// Why the job is not run at all; nil if it is.
  var skipReason: SkipReason?
  /// The result, as the web UI has answered to the end of the job.
  var result: String?
  /// Who looks on.
  var audience = Audience()
  /// The processes that have begun or resumed the job, the last one at the end.
  var holders: [JobHolder] = []
  /// How much of each log live viewers have got.
  var liveOffsets: [LiveStatus.Log: Int64] = [:]

  /// Whether the jobs that wait for this one can be run: it ended by itself, and well (protocol §3.3).
  var isSuccess: Bool { reason == .done && (result == "passed" || result == "softfailed") }

  var phase: Phase {
    if reason != nil { return .reporting }
    return prepared == nil ? .settingUp : .executing
  }
}

extension JobRecord {
  /// Returns the record with the process that runs with the job from now on.
  func taken(by pid: Int64) -> JobRecord {
    var record = self
    record.holders = JobHolder.add(JobHolder(pid: pid), to: holders)
    return record
  }

  /// Notes what has become of the process that runs with the job.
  mutating func note(_ fate: JobHolder.Fate) {
    guard let last = holders.indices.last else { return }
    holders[last].fate = fate
  }

  /// Gives the job up if too many processes have died with it: what they died of may be in the job. An end that has been
  /// decided stays if all of the report but the telling has been done.
  mutating func giveUpIfDeadly(delivered: String) {
    let deaths = JobHolder.deaths(holders)
    guard deaths >= JobHolder.maximumDeaths, !finished.contains(delivered) else { return }
    reason = .workerDied(times: deaths)
  }

  /// A record that cannot be used.
  struct Unusable: Error, CustomStringConvertible {
    var description: String
    /// The record of a job whose loss is all that is left to report, if it can be told which job it was.
    var lost: JobRecord?
  }

  /// Takes a record apart that an earlier process has written.
  /// - Parameter bootID: of now: what ran before it runs no more.
  /// - Throws: ``Unusable``.
  init(parsing text: [UInt8], bootID: String) throws(Unusable) {
    let json: JSON
    do { json = try JSON(parsing: text) } catch { throw Unusable(description: "its record is corrupt: \(error)") }
    do { self = try JobRecord(json, bootID: bootID) } catch {
      throw Unusable(description: error.description, lost: JobRecord(ofLost: json, bootID: bootID, error.description))
    }
  }

  /// Takes from a record what all versions write, of a job that is lost for a reason.
  private init?(ofLost json: JSON, bootID: String, _ why: String) {
    guard let webUI = json["web_ui"]?.string, let workerID = json["worker_id"]?.integer,
      let id = json["grabbed"]?["id"].flatMap({ JobInfo.id(of: $0) }),
      let job = try? JobInfo(["id": .integer(id), "settings": [:]])
    else { return nil }
    self.init(webUI: webUI, workerID: workerID, grabbed: job, bootID: bootID)
    reason = .lost(why)
  }

  private init(_ json: JSON, bootID: String) throws(Unusable) {
    guard let version = json["version"]?.integer else {
      throw Unusable(description: "its record is corrupt: no version")
    }
    guard version <= JobRecord.version else {
      throw Unusable(
        description: "a newer worker has written its record (version \(version), understood up to \(Self.version))")
    }
    func member(_ key: String) throws(Unusable) -> String {
      guard let value = json[key]?.string else { throw Unusable(description: "its record is corrupt: no \(key)") }
      return value
    }
    func job(_ json: JSON) throws(Unusable) -> JobInfo {
      do { return try JobInfo(json) } catch { throw Unusable(description: "its record is corrupt: \(error)") }
    }
    self.bootID = try member("boot_id")
    guard self.bootID == bootID else { throw Unusable(description: "the host has been started anew since") }
    webUI = try member("web_ui")
    guard let workerID = json["worker_id"]?.integer else {
      throw Unusable(description: "its record is corrupt: no worker_id")
    }
    self.workerID = workerID
    grabbed = try job(json["grabbed"] ?? .null)
    if let prepared = json["prepared"] { self.prepared = try job(prepared) }
    startedAt = json["started_at"]?.scalar.flatMap { Double($0) }.flatMap { $0.isFinite ? $0 : nil }
    func stopReason(_ key: String) throws(Unusable) -> StopReason? {
      guard let reason = json[key] else { return nil }
      if let known = StopReason(record: reason) { return known }
      throw Unusable(description: "its record is corrupt: \(reason.text) is no reason to stop")
    }
    reason = try stopReason("reason")
    finished = Set((json["finished"]?.array ?? []).compactMap(\.string))
    do { rest = try JobQueue(record: json["rest"] ?? .null) } catch {
      throw Unusable(description: "its record is corrupt: \(error)")
    }
    if let text = json["skip_reason"]?.string { skipReason = SkipReason(text, try stopReason("skip_stop")) }
    result = json["result"]?.string
    holders = (json["holders"]?.array ?? []).compactMap { JobHolder(record: $0) }
    if let live = json["live"] {
      audience.viewers = live["viewers"]?.integer.flatMap { Audience.possibleViewers.contains($0) ? Int($0) : nil } ?? 0
      audience.hasDeveloper = live["developer"] == true
      for log in LiveStatus.Log.allCases {
        liveOffsets[log] = live["offsets"]?[log.rawValue]?.integer.flatMap { (1...(1 << 60)).contains($0) ? $0 : nil }
      }
    }
  }

  /// What ``init(parsing:bootID:)`` reads.
  var text: [UInt8] {
    var json: JSON = [
      "version": .integer(JobRecord.version), "boot_id": .string(bootID), "web_ui": .string(webUI),
      "worker_id": .integer(workerID), "grabbed": grabbed.json,
      "finished": .array(finished.sorted().map { .string($0) }),
    ]
    json["prepared"] = prepared?.json
    json["started_at"] = startedAt.map { .number("\($0)") }
    json["reason"] = reason?.record
    if !rest.isEmpty { json["rest"] = rest.record }
    json["skip_reason"] = skipReason.map { .string($0.text) }
    json["skip_stop"] = skipReason?.stop?.record
    json["result"] = result.map { .string($0) }
    if !holders.isEmpty { json["holders"] = .array(holders.map(\.record)) }
    if audience != Audience() || !liveOffsets.isEmpty {
      json["live"] = [
        "viewers": .integer(Int64(audience.viewers)), "developer": .bool(audience.hasDeveloper),
        "offsets": .object(
          Dictionary(uniqueKeysWithValues: liveOffsets.map { ($0.rawValue, .integer($1)) })),
      ]
    }
    return json.bytes
  }
}

extension StopReason {
  /// The reason as a record has it.
  fileprivate var record: JSON {
    var json: JSON = ["name": .string(name)]
    switch self {
    case .timedOut(let limit): json["limit"] = limit == .setup ? "setup" : "execution"
    case .setupFailure(let failure):
      json["category"] = .string(failure.category.rawValue)
      json["text"] = .string(failure.message)
    case .apiFailure(let text): json["text"] = text.map { .string($0) }
    case .workerBroken(let text), .lost(let text): json["text"] = .string(text)
    case .workerDied(let times): json["times"] = .integer(Int64(times))
    case .other(let text): json = ["other": .string(text)]
    case .done, .died, .cancelled, .obsoleted, .aborted, .quit: break
    }
    return json
  }

  /// Nil for what no reason looks like.
  fileprivate init?(record json: JSON) {
    if let text = json["other"]?.string {
      self = .other(text)
      return
    }
    let text = json["text"]?.string
    switch json["name"]?.string {
    case "done": self = .done
    case "died": self = .died
    case "timeout": self = .timedOut(json["limit"]?.string == "setup" ? .setup : .execution)
    case "setup failure":
      guard let category = SetupFailure.Category(rawValue: json["category"]?.string ?? "") else { return nil }
      self = .setupFailure(SetupFailure(category, text ?? ""))
    case "api-failure": self = .apiFailure(text)
    case "cancel": self = .cancelled
    case "obsolete": self = .obsoleted
    case "abort": self = .aborted
    case "quit": self = .quit
    case "worker broken": self = .workerBroken(text ?? "")
    case "lost": self = .lost(text ?? "")
    case "worker died": self = .workerDied(times: json["times"]?.integer.flatMap { Int(exactly: $0) } ?? 0)
    default: return nil
    }
  }
}
