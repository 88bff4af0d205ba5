import Engines
import Logging
import OpenQAProtocol
import ProcessTree
import Support

/// A job that an earlier process of this slot has left, and this one goes on with.
struct PastJob: Sendable {
  var record: JobRecord
  /// Of the slot's web UIs, the one that gave it.
  var webUI: Int
  var found: Supervisor.Finding
  /// The pool's, which the job's supervisor has held meanwhile.
  var lock: FileLock?

  /// Looks for one. Whatever else was left of jobs is ended and taken away.
  /// - Parameter webUIs: the slot's HOST entries.
  static func find(in slot: SlotContext, webUIs: [String]) async -> PastJob? {
    let logger = slot.logger
    let folder = slot.pool.stateFolder
    let found: Supervisor.Finding
    do { found = try await Supervisor.find(in: folder, mark: slot.mark) } catch {
      logger.warning("What an earlier worker has left in \(folder) cannot be known: \(error)")
      return nil
    }
    var record = await JobJournal.left(in: slot.pool, logger: logger)
    if record?.phase == .executing { record?.loseBackend(found) }
    guard let record, let webUI = webUIs.firstIndex(of: record.webUI) else {
      if let record {
        logger.error("Job \(record.grabbed.id) is given up: its web UI \(record.webUI) is no longer configured")
        await JobJournal(record, pool: slot.pool, logger: logger).remove()
      }
      await end(found, logger)
      return nil
    }
    switch (found, record.reason) {
    case (_, .lost), (.newer, _):
      await end(found, logger)
      return PastJob(record: record, webUI: webUI, found: .none)
    case (.running(let tree), _):
      return PastJob(record: record, webUI: webUI, found: found, lock: try? await tree.takeLock())
    case (.ended, _), (.none, _): return PastJob(record: record, webUI: webUI, found: found)
    }
  }

  /// Ends a backend that no job goes on with.
  private static func end(_ found: Supervisor.Finding, _ logger: Logger) async {
    let end: TreeEnd
    switch found {
    case .running(let tree):
      logger.warning("Stopping a backend that belongs to no job (its supervisor: PID \(tree.identity.pid))")
      end = await tree.stop(grace: JobRun.grace)
      await tree.release()
    case .newer(let supervisor):
      logger.warning("Stopping a backend that belongs to no job: \(supervisor)")
      // It has a time of its own for that, of 30 s as well.
      end = await supervisor.end(limit: JobRun.grace + .seconds(10))
    case .ended(let left): end = await left.clear()
    case .none: end = .gone
    }
    guard case .survivors(let processes) = end else { return }
    for process in processes { logger.error("A process of an earlier job cannot be ended: \(process)") }
  }
}

extension JobRecord {
  /// Notes that there is no backend to go on with, if so.
  fileprivate mutating func loseBackend(_ found: Supervisor.Finding) {
    switch found {
    // It never started, or nothing is left that tells of it.
    case .none: prepared = nil
    case .newer(let supervisor): (prepared, reason) = (nil, .lost("\(supervisor)"))
    case .ended(let end):
      guard let version = end.newerVersion else { break }
      (prepared, reason) = (nil, .lost("a newer job-supervisor has written how its backend ended (version \(version))"))
    case .running: break
    }
  }
}
