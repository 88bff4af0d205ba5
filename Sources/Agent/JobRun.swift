import CommandServerClient
import Configuration
import Engines
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
  /// From the end of one pass over the results to the next.
  static let period = Duration.seconds(10)

  let slot: SlotContext
  let session: WebUISession
  let client: WebUIClient
  let webUI: Settings.WebUI
  let workerID: Int64
  let stop: Latch<StopReason>
  /// Opened when the session has been connected once.
  let connected: Latch<Int64>
  /// The pool's, which the job's supervisor holds from its start on.
  let lock: FileLock?
  /// Among the jobs that start on this host; nil without a limit.
  let place: StartPlace?
  /// Called before the web UI hears that the job is over, and may give the next one.
  let isEnding: @Sendable () -> Void

  /// Runs a job from where its record says that it is.
  /// - Parameter found: what an earlier process has left of the job's backend.
  func run(_ past: JobRecord, found: Supervisor.Finding = .none) async {
    defer { place?.leave() }
    let journal = JobJournal(past, pool: slot.pool, logger: slot.logger)
    if past.phase == .settingUp, await !accept(past.grabbed, journal) { return await journal.remove() }
    slot.log.begin(job: past.grabbed.id, webUI: "\(webUI.address)", pool: slot.pool)
    if past.phase != .settingUp { slot.logger.notice("Going on with job \(past.grabbed.id) from \(webUI.address)") }
    if let reason = past.reason { stop.open(with: reason) }
    let (job, backend) = await prepare(past, found, journal)
    var uploader: ResultUploader?
    if let backend {
      uploader = makeUploader(job, backend.commandServer)
      if let uploader { await execute(job, backend, uploader, journal) }
    } else {
      await decide(journal)
      await tellUploading(job.id)
    }
    await report(job, uploader, journal)
    slot.log.end()
    if !slot.settings.keepsPool {
      do { try await slot.pool.clean() } catch { slot.logger.error("The pool cannot be cleaned: \(error)") }
    }
    await journal.remove()
  }

  /// Tells the web UI that the job is taken. Whether it was told.
  private func accept(_ job: JobInfo, _ journal: JobJournal) async -> Bool {
    slot.logger.info("Accepting job \(job.id) from \(webUI.address)")
    await journal.update { _ in }
    await session.update(status: .working(job, webUI: webUI.address.entry), jobs: [job.id])
    await waitsFor { _ = try? await connected.wait() }
    if stop.value == nil, await !session.accept(job: job.id) {
      slot.logger.error("Dropping job \(job.id): its web UI cannot be told that it is accepted")
      return false
    }
    if let reason = stop.value {
      slot.logger.info("Dropping job \(job.id) before its set-up: \(reason.name)")
      return false
    }
    return true
  }

  /// Why the job stops, as soon as that is decided, and on record; a run that is cancelled is quit.
  @discardableResult
  func decide(_ journal: JobJournal) async -> StopReason {
    let reason = (try? await stop.wait()) ?? .quit
    await journal.update { $0.reason = reason }
    return reason
  }

  func tellUploading(_ job: Int64) async { await post(.uploading(workerID: workerID), job: job) }

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
