import CommandServerClient
import Configuration
import Engines
import Live
import Logging
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import Transport
import Upload
import WebUIClient
import WebUISession

/// A job's life, from its acceptance to the free slot (protocol §5): one function that owns the order of things.
///
/// Whoever wants the job to stop opens `stop`; the first reason counts. Every wait ends when it is opened. Each step is in
/// the job's record before it is taken, so that another process can go on wherever this one ends.
struct JobRun: Sendable {
  /// How long the backend has between SIGTERM and SIGKILL.
  static let grace = Duration.seconds(30)
  /// The time that the command server has to tell developer mode of a stop, before SIGTERM.
  static let announcementLead = Duration.milliseconds(30)
  /// From the end of one pass over the results to the next.
  static let period = Duration.seconds(10)
  /// From one word about a set-up that takes its time to the next.
  static let setupPeriod = Duration.seconds(5)
  /// From one word about a long upload to the next.
  static let progressPeriod = Duration.seconds(10)

  /// A change of the job that web UIs see in the slot's status.
  enum Word: Sendable {
    /// Set up, with the worker's settings in it.
    case changed(JobInfo)
    /// The web UI is about to hear that it is over, and may give the next one.
    case ending
    /// Over: the slot's status has to tell it.
    case dropped
    /// Over: a new registration has to tell it.
    case released(Int64)

    func event(webUI: Int) -> SlotState.Event {
      switch self {
      case .changed(let job): .jobChanged(job)
      case .ending: .jobEnding
      case .dropped: .jobDropped(webUI: webUI)
      case .released(let job): .jobReleased(job, webUI: webUI)
      }
    }
  }

  let slot: SlotContext
  /// Of the web UI that gave the job.
  let session: WebUISession
  let client: WebUIClient
  let webUI: Settings.WebUI
  /// The slot's number at the web UI when that gave the job.
  let takenAs: Int64
  let stop: Latch<StopReason>
  /// The pool's, which the job's supervisor holds from its start on.
  let lock: FileLock?
  /// Among the jobs that start on this host; nil without a limit.
  let place: StartPlace?
  /// Opened when the backend's command server has answered.
  let commandServerIsUp = Latch<Void>()
  /// Opened when it has not within its limit. A process that has taken the job back at its end knows neither.
  let commandServerIsLate = Latch<Void>()
  /// Until when the results wait for a web UI that is away; opened when it is missed first.
  let holdEnd = Latch<ContinuousClock.Instant>()
  /// Who looks on.
  let audience: Observed<Audience>
  /// Counts reasons to look at the results at once.
  let wishes = Observed(0)
  /// Called with what the slot has to know of the job.
  let tell: @Sendable (Word) -> Void
  /// Called for each fault of the host that the job meets.
  let noteFault: @Sendable (HostFault) async -> Void

  /// Runs a job from where its record says that it is.
  /// - Parameter found: what an earlier process has left of the job's backend.
  /// - Returns: whether it ended well, so that those that wait for it can be run.
  func run(_ journal: JobJournal, found: Supervisor.Finding = .none) async -> Bool {
    defer { place?.leave() }
    let past = await journal.record
    let isTold = past.finished.contains(Step.told)
    let isDeadly = JobHolder.deaths(past.holders.dropLast()) >= JobHolder.maximumDeaths
    if isDeadly, isTold || past.skipReason != nil {
      // Even this has killed the worker: nothing but the record is left to take away.
      slot.logger.error("Leaving job \(past.grabbed.id) as it is: the worker died over and over while finishing it")
      drop(past)
    } else if let reason = past.skipReason {
      if !isTold { await skip(past.grabbed, because: reason) }
    } else if !isTold || past.reason != nil {
      // What is told may still have to be cleaned up.
      await run(past, found, journal)
      if isTold, !Task.isCancelled { drop(past) }
    }
    // A process that does not wait for the job leaves it to the next one, as it is on record.
    if Task.isCancelled { return false }
    await journal.update { $0.finished.insert(Step.told) }
    let record = await journal.record
    // If others wait, the record of the next one replaces this one.
    if record.rest.isEmpty { await journal.remove() }
    return record.isSuccess
  }

  private func run(_ past: JobRecord, _ found: Supervisor.Finding, _ journal: JobJournal) async {
    async let _ = recordAudience(journal, known: past.audience)
    async let _ = recordSurvival(journal)
    if past.phase == .settingUp, await !accept(past, journal) { return drop(past) }
    slot.log.begin(job: past.grabbed.id, webUI: "\(webUI.address)", pool: slot.pool)
    if past.phase != .settingUp { slot.logger.notice("Going on with job \(past.grabbed.id) from \(webUI.address)") }
    if let reason = past.reason { stop.open(with: reason) }
    let (job, backend) = await prepare(past, found, journal)
    if let backend, case .workerDied = past.reason {
      // What the others died of may be in the results: nothing of them is read.
      await end(backend, job, journal)
      if !Task.isCancelled { await report(job, nil, nil, journal) }
    } else if let backend {
      let uploader = makeUploader(job, backend.commandServer)
      let view = await makeLiveView(job, backend.commandServer, journal)
      await withTaskGroup(of: Void.self) { group in
        // What is on its way when the backend ends goes on during the report.
        let isTakenBack = past.phase != .settingUp
        group.addTask { [slot] in
          await uploader.followScreenshots(slot.watcher, skipsOld: isTakenBack, clock: slot.clock)
        }
        group.addTask {
          await view.run(audience) { offsets in await journal.update { $0.liveOffsets = offsets } }
        }
        await execute(job, backend, uploader, journal)
        group.addTask { await tellProgress(uploader) }
        if !Task.isCancelled { await report(job, uploader, view, journal) }
        group.cancelAll()
      }
    } else {
      await decide(journal)
      await tellUploading(job.id)
      if !Task.isCancelled { await report(job, nil, nil, journal) }
    }
    if Task.isCancelled { return }
    await pruneArchive()
    slot.log.end()
    if !slot.settings.keepsPool {
      do { try await slot.pool.clean() } catch is CancellationError {
      } catch {
        slot.logger.error("Unable to clean pool directory: \(error)")
        await noteFault(.uncleanPool)
      }
    }
  }

  /// Notes when this process has lasted long enough with the job for its death not to be blamed on the job.
  private func recordSurvival(_ journal: JobJournal) async {
    do { try await slot.clock.sleep(for: JobHolder.probation) } catch { return }
    await journal.update { $0.note(.lasted) }
  }

  /// Tells the web UI that the job is taken. Whether it was told.
  private func accept(_ record: JobRecord, _ journal: JobJournal) async -> Bool {
    let job = record.grabbed
    slot.logger.info("Accepting job \(job.id) from \(webUI.address)")
    await journal.update { _ in }
    let attempts = slot.settings.acceptAttempts
    let isAccepted = Latch<Void>()
    await waitsFor {
      _ = try? await session.comesBack()
      if await session.accept(job: job.id, attempts: attempts) { isAccepted.open(with: ()) }
    }
    if stop.value == nil, isAccepted.value == nil {
      slot.logger.error("Dropping job \(job.id): its web UI cannot be told that it is accepted")
      return false
    }
    if let reason = stop.value {
      slot.logger.info("Dropping job \(job.id) before its set-up: \(reason.name)")
      return false
    }
    return true
  }

  /// Lets the web UI know at once that the slot is free: nothing else tells that a job was dropped, or that one is over
  /// whose end an earlier process has told.
  private func drop(_ record: JobRecord) {
    guard record.rest.isEmpty else { return }
    tell(.ending)
    tell(.dropped)
  }

  /// The slot's number at the web UI, as of the last registration.
  @Sendable func workerID() async -> Int64 { await session.workerID ?? takenAs }

  /// Why the job stops, as soon as that is decided, and on record; a run that is cancelled is quit.
  @discardableResult
  func decide(_ journal: JobJournal) async -> StopReason {
    guard let reason = try? await stop.wait() else { return .quit }
    await journal.update { $0.reason = reason }
    return reason
  }

  func tellUploading(_ job: Int64) async { await post(.uploading(workerID: await workerID()), job: job) }

  func post(_ status: JobStatus, job: Int64, tries: Int? = nil) async {
    var call = WebUIClient.Call(.post, "jobs/\(job)/status")
    call.body = .bytes(status.body, contentType: "application/json")
    call.expectsJSON = false
    call.tries = tries
    // What comes of it, the calls that follow tell.
    _ = try? await client.send(call)
  }

  // MARK: Waiting

  /// Waits for `duration`; false if the job stops meanwhile.
  func sleepsFor(_ duration: Duration) async -> Bool {
    let clock = slot.clock
    return await waitsFor { try? await clock.sleep(for: duration) }
  }

  /// Waits for the end of `body`; false if the job stops meanwhile.
  @discardableResult
  func waitsFor(_ body: @escaping @Sendable () async -> Void) async -> Bool {
    let stop = stop
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await body() }
      group.addTask { _ = try? await stop.wait() }
      await group.next()
      group.cancelAll()
    }
    return stop.value == nil && !Task.isCancelled
  }
}
