import Configuration
import Engines
import Logging
import OpenQAProtocol
import Support
import SystemPackage
import Upload
import WebUISession

/// What becomes of results when their web UI is away at the end of the job.
extension JobRun {
  /// Brings something to the web UI, and again whenever that is back after it was away, until UPLOAD_HOLD has passed since
  /// it was missed first.
  /// - Throws: what `body` throws, when the web UI was there, or the time is over.
  func whenItIsBack<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
    while true {
      let before = await session.connections
      do { return try await body() } catch let error where !(error is CancellationError) {
        guard await isBackInTime(since: before) else { throw error }
      }
    }
  }

  /// - Parameter before: how many connections there had been before what has failed.
  private func isBackInTime(since before: Int) async -> Bool {
    let (isAway, connections) = (await session.isAway, await session.connections)
    guard isAway || connections != before else { return false }
    holdEnd.open(with: .now + slot.settings.upload.hold)
    let left = ContinuousClock.now.duration(to: holdEnd.value ?? .now)
    guard left > .zero else { return false }
    if !isAway { return true }
    slot.logger.warning(
      "\(webUI.address) is away: what it has not got of the job waits for it, for another \(left.components.seconds) s")
    return await withTaskGroup(of: Bool.self) { group in
      group.addTask { [session] in (try? await session.comesBack()) ?? false }
      group.addTask { [clock = slot.clock] in
        try? await clock.sleep(for: left)
        return false
      }
      defer { group.cancelAll() }
      return await group.next() ?? false
    }
  }

  private var archive: Archive {
    let settings = slot.settings.archive
    return Archive(settings.directory, limit: settings.limit, maximumAge: settings.maximumAge)
  }

  /// Forgets what has been kept for too long.
  func pruneArchive() async {
    let archive = archive
    do { try await slot.pool.lane.run { try archive.prune() } } catch {
      slot.logger.warning("What \(archive.folder) keeps cannot be looked at: \(error)")
    }
  }

  /// Keeps on this host what the web UI has not got.
  func archive(_ job: JobInfo, _ end: JobEnd, because problem: String) async {
    let archive = archive
    let summary = Archive.Summary(
      job: job.id, name: job.setting("NAME") ?? "", webUI: "\(webUI.address)", result: end.result ?? "done",
      problem: problem)
    let pool = slot.pool.path
    do {
      guard let place = try await slot.pool.lane.run({ try archive.keep(pool, summary) }) else {
        return slot.logger.error("The results of job \(job.id) are lost: ARCHIVE_LIMIT_GB is 0")
      }
      slot.logger.error(
        """
        The results of job \(job.id) are kept in \(place), since they could not be uploaded: \
        'worker-agent archive show \(Files.name(of: place))'
        """)
    } catch {
      slot.logger.error("The results of job \(job.id) are lost, and cannot be kept in \(archive.folder): \(error)")
    }
  }

  /// Says how far a long upload is, until the task is cancelled.
  func tellProgress(_ uploader: ResultUploader) async {
    var before = uploader.tally.value
    let period = JobRun.progressPeriod
    while (try? await slot.clock.sleep(for: period)) != nil {
      let (now, progress) = (uploader.tally.value, uploader.progress.value)
      let rate = (now.bytes - before.bytes) / period.components.seconds / 1000
      slot.logger.info(
        """
        Uploading: \(now.items) items with \(now.bytes) bytes so far, \(rate) kB/s; \(progress.outstandingImages) images \
        and \(progress.outstandingFiles) texts are outstanding\(progress.upTo.map { " up to \($0)" } ?? "")
        """)
      before = now
    }
  }
}
