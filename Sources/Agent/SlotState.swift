package import OpenQAProtocol

/// Decides what a slot does about what it is told: the whole of its behaviour between jobs, and towards commands in one.
///
/// Web UIs are numbered as the slot's settings list them.
package struct SlotState: Sendable, Hashable {
  /// What happens.
  package enum Event: Sendable, Hashable {
    case grab(JobInfo, webUI: Int)
    case grabSequence(JobSequence, webUI: Int)
    case command(JobCommand, job: Int64, webUI: Int)
    case disabled(webUI: Int)
    /// The running job is as it is now: set up, with the worker's settings in it.
    case jobChanged(JobInfo)
    /// The job is over, and nothing but the slot's status tells that.
    case jobDropped(webUI: Int)
    /// The job is over, and nothing but a new registration tells that.
    case jobReleased(Int64, webUI: Int)
    /// The web UI is about to hear that the job is over: from then on it may give the next one.
    case jobEnding
    /// The job is over; whether it ended well, so that the jobs that wait for it can be run.
    case jobEnded(isSuccess: Bool)
    /// It is time to look at what keeps jobs from being taken.
    case lookDue
    /// A look has found this obstacle; nil for none.
    case looked(Obstacle?)
    /// End now, the job too.
    case stop
    /// End now, and do not wait for the job's end.
    case kill
    /// End when the jobs in hand have ended; a slot without one begins anew with its settings as they are now.
    case finish
  }

  /// What to do about it.
  package enum Action: Sendable, Hashable {
    /// Find out what keeps jobs from being taken, and take a place among the jobs that start on this host if one is to be
    /// taken. One look at a time; its end is an event.
    case look(isTaking: Bool)
    /// Run a job; `rest` are those that come after it.
    case start(JobInfo, rest: JobQueue, webUI: Int)
    /// Tell the web UI that a job is not run.
    case skip(JobInfo, rest: JobQueue, reason: SkipReason, webUI: Int)
    case reject([Int64], reason: String, webUI: Int)
    case stopJob(StopReason)
    /// A viewer or developer of the running job came or went.
    case tellJob(JobCommand)
    /// What is queued has changed: it has to be on record.
    case recordQueue(JobQueue)
    case warn(String)
    /// A web UI is to hear of the status at once; all are if none is named.
    case sendStatus(to: Int? = nil)
    /// Let the web UI learn from a new registration that a job is over.
    case release(Int64, webUI: Int)
    /// End without waiting for the job.
    case abandonJob
    /// There is nothing more to do: leave.
    case end
  }

  /// Jobs that a web UI has given together.
  private struct Grab: Hashable {
    var jobs: JobQueue
    var webUI: Int
  }

  /// Whether it is looked at what keeps jobs from being taken.
  private enum Look: Hashable {
    case none
    /// Is under way; `again` if another has to follow, since a job has come that this one does not count on.
    case running(isTaking: Bool, again: Bool)
  }

  /// What the slot is at.
  package enum Phase: Sendable, Hashable {
    /// Waits for a job. Becomes `busy` or `ended`.
    case idle
    /// Runs a job, or tells that it is skipped. Becomes `finishing`, `busy` with the next one, `idle` or `ended`.
    case busy(job: Int64, webUI: Int)
    /// Cleans up after the last job and looks whether another can be taken, which may have been given. Becomes `busy`,
    /// `idle` or `ended`.
    case finishing(next: JobQueue, webUI: Int)
    /// Nothing comes after it.
    case ended
  }

  package private(set) var phase = Phase.idle
  /// The jobs that come after the current one.
  package private(set) var queue = JobQueue()
  /// Takes no more jobs.
  package private(set) var isStopping = false
  /// Ends only to begin anew.
  package private(set) var isReloading = false
  /// Why no jobs can be taken.
  package private(set) var obstacle: Obstacle?
  /// The status while there is a job of which web UIs do not know that it is over.
  private var work: WorkerStatus?
  /// Jobs that have been given and wait for a look.
  private var grabs: [Grab] = []
  private var look = Look.none
  /// Whether the job ended well that is over, until a look has told what comes next.
  private var endedWell: Bool?
  /// Jobs that wait are not run any more.
  private var skipsRest = false
  private let endsAfterJobs: Bool
  private let names: [String]
  private var enabled: Set<Int>

  /// - Parameters:
  ///   - webUIs: the HOST entries, as written.
  ///   - endsAfterJobs: whether the slot ends when the jobs it was given first have ended.
  ///   - current: the job that an earlier process of this slot has left, those after it, and the web UI that gave them.
  package init(
    webUIs: [String], endsAfterJobs: Bool = false, current: (job: JobInfo, rest: JobQueue, webUI: Int)? = nil
  ) {
    names = webUIs
    enabled = Set(webUIs.indices)
    self.endsAfterJobs = endsAfterJobs
    if let current {
      (phase, queue) = (.busy(job: current.job.id, webUI: current.webUI), current.rest)
      work = .working(current.job, webUI: names[current.webUI])
    }
  }

  /// The status that every web UI is to see.
  package var status: WorkerStatus { work ?? obstacle.map { .broken(reason: $0.text) } ?? .free }

  /// The jobs that come after the current one, for the web UI that gave them: others have their own of these numbers.
  package func pending(for webUI: Int) -> [Int64] {
    if case .busy(_, webUI) = phase { queue.ids } else { [] }
  }

  /// Whether some web UI still takes this worker.
  package var hasWebUI: Bool { !enabled.isEmpty }

  package mutating func handle(_ event: Event) -> [Action] {
    if phase == .ended { return [] }
    switch event {
    case .grab(let job, let webUI): return hear(Grab(jobs: JobQueue(job), webUI: webUI))
    case .grabSequence(let sequence, let webUI): return hear(Grab(jobs: JobQueue(sequence), webUI: webUI))
    case .command(let command, let job, let webUI): return obey(command, job, webUI)
    case .disabled(let webUI):
      enabled.remove(webUI)
      if !hasWebUI { skipsRest = true }
      return hasWebUI || phase != .idle ? [] : stop()
    case .jobChanged(let job):
      guard case .busy(job.id, let webUI) = phase else { return [] }
      work = .working(job, webUI: names[webUI])
      return [.sendStatus(to: webUI)]
    case .jobDropped(let webUI):
      work = nil
      return [.sendStatus(to: webUI)]
    case .jobReleased(let job, let webUI):
      work = nil
      return [.release(job, webUI: webUI)]
    case .jobEnding:
      // While others wait, the web UI gives none.
      if case .busy(_, let webUI) = phase, queue.isEmpty {
        if endsAfterJobs { isStopping = true }
        phase = .finishing(next: JobQueue(), webUI: webUI)
      }
      return []
    case .jobEnded(let isSuccess):
      endedWell = isSuccess
      // From now on, what comes waits for the look.
      if case .busy(_, let webUI) = phase, queue.isEmpty { phase = .finishing(next: JobQueue(), webUI: webUI) }
      // Whoever stops needs no look.
      return skipsRest ? goOn() : look(isTaking: hasNext)
    case .lookDue: return phase == .idle && look == .none ? look(isTaking: false) : []
    case .looked(let found): return note(found) + afterLook()
    case .stop: return stop()
    case .kill:
      isStopping = true
      if phase == .idle { return stop() }
      phase = .ended
      return [.abandonJob, .end]
    case .finish:
      isReloading = phase == .idle && !isStopping
      isStopping = true
      return phase == .idle ? stop() : []
    }
  }

  private mutating func obey(_ command: JobCommand, _ job: Int64, _ webUI: Int) -> [Action] {
    let reason = StopReason(command: command)
    if case .busy(let current, webUI) = phase {
      if job == current { return [reason.map { .stopJob($0) } ?? .tellJob(command)] }
      if reason != nil, queue.skip(job, for: command) { return [.recordQueue(queue)] }
    }
    return [.warn("Ignoring \(command.rawValue) for job \(job) from \(names[webUI]): not a current job")]
  }

  // MARK: Looks

  private mutating func look(isTaking: Bool) -> [Action] {
    switch look {
    case .none:
      look = .running(isTaking: isTaking, again: false)
      return [.look(isTaking: isTaking)]
    case .running(let counts, let again):
      look = .running(isTaking: counts, again: again || isTaking && !counts)
      return []
    }
  }

  private mutating func note(_ found: Obstacle?) -> [Action] {
    guard obstacle != found else { return [] }
    // Where only the words change, web UIs hear of it in time.
    let isUrgent = (obstacle == nil) != (found == nil)
    obstacle = found
    guard phase == .idle else { return [] }
    return warning + (isUrgent ? [.sendStatus()] : [])
  }

  private mutating func afterLook() -> [Action] {
    if case .running(_, again: true) = look {
      look = .none
      return look(isTaking: true)
    }
    look = .none
    if endedWell != nil { return goOn() }
    let given = grabs
    grabs = []
    return given.flatMap { take($0) }
  }

  /// A job waits for the end of the one before.
  private var hasNext: Bool {
    if case .finishing(let next, _) = phase { !next.isEmpty } else { !queue.isEmpty }
  }

  // MARK: Jobs

  /// A free slot looks first whether it can take what it is given: since the last look much may have changed.
  private mutating func hear(_ grab: Grab) -> [Action] {
    guard phase == .idle, !isStopping else { return take(grab) }
    grabs.append(grab)
    return look(isTaking: true)
  }

  private mutating func take(_ grab: Grab) -> [Action] {
    if let refusal = refusal(of: grab.jobs.ids, from: grab.webUI) { return refusal }
    if case .finishing = phase {
      phase = .finishing(next: grab.jobs, webUI: grab.webUI)
      return endedWell == nil ? [] : look(isTaking: true)
    }
    queue = grab.jobs
    return next(from: grab.webUI) ?? []
  }

  /// Runs or skips the job whose turn it is; nil if there is none.
  private mutating func next(from webUI: Int) -> [Action]? {
    guard let entry = queue.next() else { return nil }
    phase = .busy(job: entry.job.id, webUI: webUI)
    work = .working(entry.job, webUI: names[webUI])
    var why = skipsRest ? SkipReason("the worker stops", .quit) : queue.obstacle(to: entry)
    if let obstacle, obstacle.isFatal { why = why ?? SkipReason(obstacle.text) }
    if let why { return [.skip(entry.job, rest: queue, reason: why, webUI: webUI)] }
    return [.start(entry.job, rest: queue, webUI: webUI)]
  }

  private mutating func goOn() -> [Action] {
    let (finished, isSuccess) = (phase, endedWell ?? false)
    endedWell = nil
    if case .busy(let job, let webUI) = finished {
      if !isSuccess { queue.note(failed: job) }
      if let actions = next(from: webUI) { return actions }
    }
    (phase, queue, work) = (.idle, JobQueue(), nil)
    var refusal: [Action] = []
    if case .finishing(let given, let webUI) = finished, !given.isEmpty, !skipsRest {
      if let obstacle {
        refusal = [.reject(given.ids, reason: obstacle.text, webUI: webUI)]
      } else {
        queue = given
        if let actions = next(from: webUI) { return actions }
      }
    }
    // Web UIs take a slot whose job has ended for a free one, and would go on giving it jobs.
    if isStopping || !hasWebUI || endsAfterJobs { return refusal + stop() }
    return refusal + warning + (obstacle?.isFatal == true ? [.sendStatus()] : [])
  }

  /// Tells the log of what is in the way.
  private var warning: [Action] { obstacle.map { [.warn($0.text)] } ?? [] }

  private mutating func stop() -> [Action] {
    isStopping = true
    skipsRest = true
    if endedWell != nil { return goOn() }
    switch phase {
    case .busy: return [.stopJob(.quit)]
    case .finishing: return []
    case .idle, .ended:
      let refusals = grabs.flatMap { refusal(of: $0.jobs.ids, from: $0.webUI) ?? [] }
      grabs = []
      phase = .ended
      return refusals + [.end]
    }
  }

  /// What to do about jobs that cannot be taken; nil if they can (protocol §3.2).
  private func refusal(of jobs: [Int64], from webUI: Int) -> [Action]? {
    if isStopping { return [.warn("Refusing to grab job from \(names[webUI]): currently stopping")] }
    switch phase {
    case .busy(let job, let owner):
      return refusal(of: jobs, from: webUI, current: [job] + queue.ids.sorted(), owner: owner)
    case .finishing(let next, let owner) where !next.isEmpty:
      return refusal(of: jobs, from: webUI, current: next.ids, owner: owner)
    case .idle, .finishing, .ended:
      return obstacle.map { [.reject(jobs, reason: $0.text, webUI: webUI)] }
    }
  }

  private func refusal(of jobs: [Int64], from webUI: Int, current: [Int64], owner: Int) -> [Action] {
    if owner != webUI {
      return [.reject(jobs, reason: "already busy with a job from \(names[owner])", webUI: webUI)]
    }
    // Sent again because the grab crossed a status on its way.
    if Set(jobs).isSubset(of: current) { return [] }
    let list = current.map(String.init).joined(separator: ", ")
    return [.reject(jobs, reason: "already busy with job(s) \(list)", webUI: webUI)]
  }
}
