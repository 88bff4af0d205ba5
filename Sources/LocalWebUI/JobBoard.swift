import OpenQAProtocol
import Support

/// All that the embedded web UI knows: its workers and jobs. Decides who gets which job.
struct JobBoard: Sendable {
  /// A slot that has registered.
  struct Worker: Sendable, Hashable {
    var id: Int64
    var host: String
    var instance: String
    var classes: Set<String>
    /// The last status over the WebSocket; nil without a connection.
    var status: String?
    /// The job that it has.
    var job: Int64?
  }

  private(set) var workers: [Int64: Worker] = [:]
  /// The highest id of a worker so far: none is given twice.
  private var lastWorker: Int64 = 0
  private(set) var jobs: [Int64: LocalJob] = [:]

  /// Adds a job. Its settings get what every job has.
  mutating func add(_ settings: [String: JSON], token: String, after parent: Int64? = nil) -> LocalJob {
    let id = Int64(jobs.count + 1)
    var settings = settings
    settings["JOBTOKEN"] = .string(token)
    let digits = String(id)
    let number = String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    settings["NAME"] = .string("\(number)-\(LocalJob(id: id, settings: settings).name)")
    let job = LocalJob(id: id, settings: settings, parent: parent)
    jobs[id] = job
    return job
  }

  /// Takes a registration (protocol §3.1); the same host and instance is the same worker again.
  /// - Returns: the worker's id, and the jobs that it did not name: they are over therefore, or wait again.
  mutating func register(
    host: String, instance: String, classes: String, naming named: [Int64]
  ) -> (worker: Int64, left: [Int64]) {
    let known = workers.values.first { $0.host == host && $0.instance == instance }
    let id = known?.id ?? lastWorker + 1
    lastWorker = max(lastWorker, id)
    let classes = Set(classes.split(separator: ",").map { $0.trimmed })
    let left = jobs.values.filter { $0.worker == id && $0.state != .done && !named.contains($0.id) }.map(\.id)
    // What was only given to it goes to the next one.
    for job in left { unassign(job, from: id) }
    for job in left where jobs[job]?.worker == id {
      jobs[job]?.finish(
        result: "incomplete",
        reason: "abandoned: associated worker \(host):\(instance) re-connected but abandoned the job")
    }
    let current = known?.job.flatMap { left.contains($0) ? nil : $0 }
    workers[id] = Worker(id: id, host: host, instance: instance, classes: classes, job: current)
    return (id, left)
  }

  /// Forgets a worker, and so that it has its jobs.
  mutating func forget(_ worker: Int64) {
    workers[worker] = nil
    for (id, job) in jobs where job.worker == worker { jobs[id]?.worker = nil }
  }

  /// Notes a worker's status; nil when it is offline.
  mutating func set(status: String?, of worker: Int64) { workers[worker]?.status = status }

  /// The next job for a worker that has none, and those that run after it, now all its own. openQA does not care whether
  /// the worker says that it works, for another web UI then: it gives jobs to all that are not broken.
  mutating func assign(to worker: Int64) -> [LocalJob] {
    guard let slot = workers[worker], slot.status != nil, slot.status != "broken", slot.job == nil else { return [] }
    let next = jobs.values.sorted { $0.id < $1.id }.first { job in
      let wanted = (job.settings["WORKER_CLASS"]?.scalar ?? "").split(separator: ",").map { $0.trimmed }
      return job.state == .scheduled && job.parent == nil && slot.classes.isSuperset(of: wanted)
    }
    guard let next else { return [] }
    workers[worker]?.job = next.id
    let all = [next.id] + descendants(of: next.id)
    for id in all {
      jobs[id]?.worker = worker
      jobs[id]?.state = .assigned
    }
    return all.compactMap { jobs[$0] }
  }

  private func children(of job: Int64) -> [Int64] { jobs.values.filter { $0.parent == job }.map(\.id).sorted() }

  private func descendants(of job: Int64) -> [Int64] { children(of: job).flatMap { [$0] + descendants(of: $0) } }

  /// The execution sequence of a job and those after it (protocol §3.3): a job with others after it is an array.
  func sequence(of job: Int64) -> [JSON] {
    [.integer(job)]
      + children(of: job).map { children(of: $0).isEmpty ? .integer($0) : .array(sequence(of: $0)) }
  }

  /// Notes that a worker has accepted its job.
  mutating func accept(_ job: Int64, by worker: Int64) {
    if jobs[job]?.worker == worker, jobs[job]?.state == .assigned { jobs[job]?.state = .setup }
  }

  /// Takes a job back that its worker does not want.
  /// - Returns: whether it was only given to it so far, and waits again.
  @discardableResult
  mutating func unassign(_ job: Int64, from worker: Int64) -> Bool {
    guard jobs[job]?.worker == worker, jobs[job]?.state == .assigned else { return false }
    jobs[job]?.worker = nil
    jobs[job]?.state = .scheduled
    if workers[worker]?.job == job { workers[worker]?.job = nil }
    return true
  }

  /// Notes that a worker is offline, and takes the job back that it has not begun.
  /// - Returns: that job.
  mutating func leave(_ worker: Int64) -> Int64? {
    set(status: nil, of: worker)
    guard let job = workers[worker]?.job, unassign(job, from: worker) else { return nil }
    return job
  }

  /// Ends a job without its worker and frees that.
  mutating func finish(_ job: Int64, result: String?, reason: String?) {
    jobs[job]?.finish(result: result, reason: reason)
    release(job)
  }

  /// Ends a job as its worker tells, and frees that.
  mutating func finish(_ job: Int64, _ end: EndCheck) {
    jobs[job]?.finish(end)
    release(job)
  }

  private mutating func release(_ job: Int64) {
    for (id, worker) in workers where worker.job == job {
      workers[id]?.job = jobs.values.filter { $0.worker == id && $0.state == .assigned }.map(\.id).min()
    }
  }

  /// Changes a job.
  mutating func change<Result>(_ job: Int64, _ body: (inout LocalJob) -> Result) -> Result? {
    guard var value = jobs[job] else { return nil }
    defer { jobs[job] = value }
    return body(&value)
  }
}

extension LocalJob {
  /// The job as a grab_job message has it (protocol §3.2, JOB).
  var grab: JSON {
    [
      "id": .integer(id), "name": .string(name), "settings": .object(settings), "priority": 50, "result": "none",
      "state": .string(state.rawValue), "assigned_worker_id": worker.map { .integer($0) } ?? nil,
      "test": settings["TEST"] ?? nil, "blocked_by_id": nil, "clone_id": nil, "group_id": nil, "t_finished": nil,
      "t_started": nil, "assets": [:],
    ]
  }
}
