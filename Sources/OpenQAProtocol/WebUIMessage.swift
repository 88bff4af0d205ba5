import Support

/// What a web UI says over the WebSocket (protocol §3.2, "Received").
package enum WebUIMessage: Sendable, Hashable {
  /// The answer to a worker_status.
  case info
  /// The answer to something else; nothing to do.
  case answer
  /// This worker's version does not fit the web UI's.
  case incompatible
  /// Something to do for one of our jobs.
  case command(JobCommand, job: Int64)
  /// One job to take.
  case grabJob(JobInfo)
  /// Several jobs to take, one after the other.
  case grabJobs(JobSequence)

  /// Reads a message.
  /// - Throws: ``WebUIMessage/Malformed``; its `jobs` can be rejected where they are known.
  package init(parsing text: String) throws(Malformed) {
    let json: JSON
    do { json = try JSON(parsing: text) } catch { throw Malformed("not JSON: \(error)") }
    guard json.object != nil else { throw Malformed("the message is no object") }
    if json["result"] != nil {
      self = .answer
      return
    }
    guard let type = json["type"]?.string else { throw Malformed("the message has no type") }
    switch type {
    case "info": self = .info
    case "incompatible": self = .incompatible
    case "grab_job": self = .grabJob(try WebUIMessage.job(json["job"]))
    case "grab_jobs": self = .grabJobs(try JobSequence(json["job_info"] ?? .null))
    default:
      guard let command = JobCommand(rawValue: type) else { throw Malformed("unknown type '\(type)'") }
      guard let job = json["jobid"].flatMap(JobInfo.id(of:)) else { throw Malformed("'\(type)' names no job") }
      self = .command(command, job: job)
    }
  }

  private static func job(_ json: JSON?) throws(Malformed) -> JobInfo {
    do {
      return try JobInfo(json ?? .null)
    } catch {
      throw Malformed(
        "grab_job: \(error)", jobs: (json?["id"]).flatMap(JobInfo.id(of:)).map { [$0] } ?? [],
        rejection: "the provided job is invalid")
    }
  }

  /// Why a message was not understood.
  package struct Malformed: Error, Hashable, CustomStringConvertible {
    /// What is wrong with it, for the log.
    package var description: String
    /// The jobs it meant to give us, to be rejected.
    package var jobs: [Int64]
    /// What to tell the web UI about them.
    package var rejection: String

    package init(_ description: String, jobs: [Int64] = [], rejection: String = "") {
      self.description = description
      self.jobs = jobs
      self.rejection = rejection
    }
  }
}

/// A web UI's command for one of our jobs (protocol §3.2).
package enum JobCommand: String, Sendable, Hashable, CaseIterable {
  /// Somebody opened the live view.
  case startLiveLog = "livelog_start"
  /// Somebody closed it.
  case stopLiveLog = "livelog_stop"
  /// Somebody opened a developer session.
  case startDeveloperSession = "developer_session_start"
  case cancel
  case obsolete
  case abort
  case quit
}
