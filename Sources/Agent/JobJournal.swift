import Engines
import Logging
import OpenQAProtocol
import Support
import SystemPackage

/// A job's record on disk: written when a job is taken, changed at each step, gone with the job.
///
/// Readable by its owner alone, since settings can be secret.
actor JobJournal {
  private(set) var record: JobRecord
  private let pool: Pool
  private let logger: Logger
  private var isUnwritable = false
  private var isRemoved = false

  init(_ record: JobRecord, pool: Pool, logger: Logger) {
    self.record = record
    self.pool = pool
    self.logger = logger
  }

  /// Changes the record, and returns when the change is on disk.
  ///
  /// A disk that takes no more costs the job no more than its going on after an end of the process: it is logged once.
  ///
  /// The record of a job that is over stays away.
  /// - Parameter limit: the longest time to wait for the disk.
  func update(limit: Duration = .seconds(60), _ change: @Sendable (inout JobRecord) -> Void) async {
    note(change)
    await save(limit: limit)
  }

  /// Changes the record, which ``save(limit:)`` has to bring to the disk.
  func note(_ change: @Sendable (inout JobRecord) -> Void) {
    if !isRemoved { change(&record) }
  }

  /// Brings the record to the disk as it is.
  func save(limit: Duration = .seconds(60)) async {
    guard !isRemoved else { return }
    let (record, file) = (record, JobJournal.file(in: pool))
    do {
      try await pool.lane.run(limit: limit) {
        try Files.replace(file, with: record.text, permissions: [.ownerReadWrite])
      }
    } catch {
      if !isUnwritable {
        logger.warning("Job \(record.grabbed.id) would not survive a restart of the worker: \(error)")
      }
      isUnwritable = true
    }
  }

  /// The job is over.
  func remove() async {
    isRemoved = true
    let file = JobJournal.file(in: pool)
    do { try await pool.lane.run { try Files.remove(file) } } catch {
      logger.error("The record of an ended job cannot be removed: \(error)")
    }
  }

  /// Reads what an earlier process has written; nil if there is nothing. A copy of what cannot be used is kept, and of the
  /// job only the loss is left to report; where somebody else may have written it, not even that is believed.
  static func left(in pool: Pool, logger: Logger) async -> JobRecord? {
    let file = file(in: pool)
    do {
      return try await pool.lane.run { try read(file, logger) }
    } catch {
      logger.warning("Whether an earlier worker has left a job cannot be known: \(error)")
      return nil
    }
  }

  private static func read(_ file: FilePath, _ logger: Logger) throws -> JobRecord? {
    let aside = FilePath("\(file).unusable")
    do {
      guard let text = try Files.readOwn(file) else { return nil }
      do { return try JobRecord(parsing: text, bootID: Boot.id) } catch {
        guard let lost = error.lost else { throw error }
        logger.warning("The job in \(file) is lost, since \(error): a copy of the file is kept as \(aside)")
        // Until the loss is reported, the next process has to find the record as it is.
        try Files.replace(aside, with: text, permissions: [.ownerReadWrite])
        return lost
      }
    } catch let error as FileError where !error.isDistrust {
      throw error
    } catch {
      try Files.move(file, to: aside)
      logger.warning("The job in \(file) is lost, since \(error): the file is kept as \(aside)")
      return nil
    }
  }

  private static func file(in pool: Pool) -> FilePath { pool.stateFolder.appending("job.json") }
}
