package import OpenQAProtocol

/// Decides what a slot does about what it is told: the whole of its behaviour between jobs, and towards commands in one.
///
/// Web UIs are numbered as the slot's settings list them.
package struct SlotState: Sendable, Hashable {
  /// What happens.
  package enum Event: Sendable, Hashable {
    case grab(JobInfo, webUI: Int)
    case grabSequence([Int64], webUI: Int)
    case command(JobCommand, job: Int64, webUI: Int)
    case incompatible(webUI: Int)
    case disabled(webUI: Int)
    /// The web UI is about to hear that the job is over: from then on it may give the next one.
    case jobEnding
    case jobEnded
    /// What keeps jobs from being taken at present; nil if nothing does.
    case availability(Obstacle?)
    /// End now, the job too.
    case stop
    /// End now, and do not wait for the job's end.
    case kill
    /// End when the job has ended.
    case finish
  }

  /// What to do about it.
  package enum Action: Sendable, Hashable {
    case start(JobInfo, webUI: Int)
    case reject([Int64], reason: String, webUI: Int)
    case stopJob(StopReason)
    /// A viewer or developer of the running job came or went.
    case tellJob(JobCommand)
    case warn(String)
    /// The status to show web UIs has changed; whether they are to hear of it at once.
    case showStatus(now: Bool)
    /// End without waiting for the job.
    case abandonJob
    /// There is nothing more to do: leave.
    case end
  }

  /// What the slot is at.
  package enum Phase: Sendable, Hashable {
    /// Waits for a job. Becomes `busy` or `ended`.
    case idle
    /// Runs a job. Becomes `finishing`, `idle` or `ended`.
    case busy(job: Int64, webUI: Int)
    /// Cleans up after a job, and may have been given the next. Becomes `busy`, `idle` or `ended`.
    case finishing(next: JobInfo?, webUI: Int)
    /// Nothing comes after it.
    case ended
  }

  package private(set) var phase = Phase.idle
  /// Takes no more jobs.
  package private(set) var isStopping = false
  /// Why no jobs can be taken.
  package private(set) var obstacle: Obstacle?
  private let names: [String]
  private var enabled: Set<Int>

  /// - Parameters:
  ///   - webUIs: the HOST entries, as written.
  ///   - current: the job that an earlier process of this slot has left, and the web UI that gave it.
  package init(webUIs: [String], current: (job: Int64, webUI: Int)? = nil) {
    names = webUIs
    enabled = Set(webUIs.indices)
    if let current { phase = .busy(job: current.job, webUI: current.webUI) }
  }

  /// Whether some web UI still takes this worker.
  package var hasWebUI: Bool { !enabled.isEmpty }

  package mutating func handle(_ event: Event) -> [Action] {
    if phase == .ended { return [] }
    switch event {
    case .grab(let job, let webUI):
      if let refusal = refusal(of: [job.id], from: webUI) { return refusal }
      if case .finishing = phase {
        phase = .finishing(next: job, webUI: webUI)
        return []
      }
      return start(job, webUI)
    case .grabSequence(let jobs, let webUI):
      if let refusal = refusal(of: jobs, from: webUI) { return refusal }
      return [.reject(jobs, reason: "this worker takes no sequences of jobs", webUI: webUI)]
    case .command(let command, let job, let webUI):
      guard phase == .busy(job: job, webUI: webUI) else {
        return [.warn("Ignoring \(command.rawValue) for job \(job) from \(names[webUI]): not the current job")]
      }
      return [StopReason(command: command).map { .stopJob($0) } ?? .tellJob(command)]
    case .incompatible(let webUI):
      return [.warn("\(names[webUI]) needs another version of the worker: stopping")] + stop()
    case .disabled(let webUI):
      enabled.remove(webUI)
      return hasWebUI || phase != .idle ? [] : stop()
    case .jobEnding:
      if case .busy(_, let webUI) = phase { phase = .finishing(next: nil, webUI: webUI) }
      return []
    case .jobEnded:
      let finished = phase
      phase = .idle
      if isStopping || !hasWebUI { return stop() }
      guard case .finishing(let next?, let webUI) = finished else { return [.showStatus(now: false)] }
      return refusal(of: [next.id], from: webUI) ?? start(next, webUI)
    case .availability(let found):
      guard obstacle != found else { return [] }
      // Where only the words change, web UIs hear of it in time.
      let isUrgent = (obstacle == nil) != (found == nil)
      obstacle = found
      return phase == .idle ? [.showStatus(now: isUrgent)] : []
    case .stop: return stop()
    case .kill:
      isStopping = true
      if phase == .idle { return stop() }
      phase = .ended
      return [.abandonJob, .end]
    case .finish:
      isStopping = true
      return phase == .idle ? stop() : []
    }
  }

  private mutating func start(_ job: JobInfo, _ webUI: Int) -> [Action] {
    phase = .busy(job: job.id, webUI: webUI)
    return [.start(job, webUI: webUI)]
  }

  private mutating func stop() -> [Action] {
    isStopping = true
    switch phase {
    case .busy: return [.stopJob(.quit)]
    case .finishing: return []
    case .idle, .ended:
      phase = .ended
      return [.end]
    }
  }

  /// What to do about jobs that cannot be taken; nil if they can (protocol §3.2).
  private func refusal(of jobs: [Int64], from webUI: Int) -> [Action]? {
    if isStopping { return [.warn("Refusing to grab job from \(names[webUI]): currently stopping")] }
    if case .busy(let current, let owner) = phase {
      if owner != webUI {
        return [.reject(jobs, reason: "already busy with a job from \(names[owner])", webUI: webUI)]
      }
      // Sent again because the grab crossed a status on its way.
      if jobs == [current] { return [] }
      return [.reject(jobs, reason: "already busy with job(s) \(current)", webUI: webUI)]
    }
    if case .finishing(let next?, let owner) = phase {
      if next.id == jobs.first, jobs.count == 1, owner == webUI { return [] }
      return [.reject(jobs, reason: "already busy with job(s) \(next.id)", webUI: webUI)]
    }
    return obstacle.map { [.reject(jobs, reason: $0.text, webUI: webUI)] }
  }
}
