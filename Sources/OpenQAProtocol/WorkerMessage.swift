package import Support

/// What a worker says over the WebSocket (protocol §3.2, "Sent by the worker").
package enum WorkerMessage: Sendable, Hashable {
  /// `pending` are the jobs that come after the one that runs.
  case status(WorkerStatus, pending: [Int64] = [])
  case accepted(job: Int64)
  case rejected(jobs: [Int64], reason: String)
  /// Going offline.
  case quit

  /// The message as it goes over the wire.
  package var json: JSON {
    switch self {
    case .status(let status, let pending): status.json(pending: pending)
    case .accepted(let job): ["type": "accepted", "jobid": .integer(job)]
    case .rejected(let jobs, let reason):
      ["type": "rejected", "job_ids": .array(jobs.map { .integer($0) }), "reason": .string(reason)]
    case .quit: ["type": "quit"]
    }
  }
}

/// What a slot tells a web UI about itself, at once on connecting and then each period.
package enum WorkerStatus: Sendable, Hashable {
  case free
  /// Takes no jobs, for the given reason.
  case broken(reason: String)
  /// Has a job; `webUI` is the HOST entry, as written, of the web UI that gave it.
  case working(JobInfo, webUI: String)

  /// The job that it has.
  package var job: JobInfo? { if case .working(let job, _) = self { job } else { nil } }

  fileprivate func json(pending: [Int64]) -> JSON {
    var json = json
    if !pending.isEmpty {
      json["pending_job_ids"] = .object(Dictionary(uniqueKeysWithValues: Set(pending).map { (String($0), 1) }))
    }
    return json
  }

  private var json: JSON {
    switch self {
    case .free: ["type": "worker_status", "status": "free"]
    case .broken(let reason): ["type": "worker_status", "status": "broken", "reason": .string(reason)]
    case .working(let job, let webUI):
      ["type": "worker_status", "status": "working", "current_webui_host": .string(webUI), "job": job.json]
    }
  }
}
