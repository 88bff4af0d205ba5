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
    do { found = try await Supervisor.find(in: folder) } catch {
      logger.warning("What an earlier worker has left in \(folder) cannot be known: \(error)")
      return nil
    }
    var record = await JobJournal.left(in: slot.pool, logger: logger)
    if record?.phase == .executing, case .none = found {
      // Its backend never started, or nothing is left that tells of it.
      record?.prepared = nil
    }
    if let record, let webUI = webUIs.firstIndex(of: record.webUI) {
      var past = PastJob(record: record, webUI: webUI, found: found)
      if case .running(let tree) = found { past.lock = try? await tree.takeLock() }
      return past
    }
    if let record {
      logger.error("Job \(record.grabbed.id) is given up: its web UI \(record.webUI) is no longer configured")
      await JobJournal(record, pool: slot.pool, logger: logger).remove()
    }
    switch found {
    case .running(let tree):
      logger.warning("Stopping a backend that belongs to no job (its supervisor: PID \(tree.identity.pid))")
      _ = await tree.stop(grace: JobRun.grace)
      await tree.release()
    case .ended(let end): await end.clear()
    case .none: break
    }
    return nil
  }
}
