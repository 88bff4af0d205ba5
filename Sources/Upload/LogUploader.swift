package import Logging
package import Support
package import SystemPackage
package import WebUIClient

/// Brings a job's logs to the web UI when its backend has ended (protocol §7).
package struct LogUploader: Sendable {
  /// What tells how the upload goes: each is sent alone, when all that comes before it has arrived.
  private static let ownLogs: Set<String> = ["autoinst-log.txt", "worker-log.txt"]

  private let job: Int64
  private let client: WebUIClient
  private let pool: FilePath
  private let lane: IOLane
  private let ledger: UploadLedger
  private let logger: Logger
  private let tally: Observed<UploadTally>

  /// - Parameters:
  ///   - lane: the pool's.
  ///   - logger: gets a line for each file; the job's own logs show it, too.
  package init(
    job: Int64, client: WebUIClient, pool: FilePath, lane: IOLane, ledger: UploadLedger = UploadLedger(),
    tally: Observed<UploadTally> = Observed(UploadTally()), logger: Logger
  ) {
    self.job = job
    self.client = client
    self.pool = pool
    self.lane = lane
    self.ledger = ledger
    self.logger = logger
    self.tally = tally
  }

  /// Uploads every log there is, several at a time. After a failure no other is begun.
  /// - Parameters:
  ///   - assets: what brings the job's assets, between the test's own logs and the others, which tell how that went.
  ///   - sayLastWords: writes what the test's log is to end with.
  /// - Throws: the `WebUIError` of the first that cannot be delivered; ``UploadError`` of `assets`, after the logs;
  ///   `FileError`, `IOLane.TimedOut` for a pool that cannot be read; `CancellationError`.
  package func upload(assets: AssetUploader? = nil, sayLastWords: @Sendable () -> Void = {}) async throws {
    let pool = pool
    let (found, skipped) = try await lane.run { try LogFiles.find(in: pool) }
    for path in skipped { logger.warning("Skipping \(path): no plain file") }
    try await send(found.filter { $0.kind == .testLog }, sayLastWords)
    var failure: UploadError?
    do { try await assets?.upload() } catch let error as UploadError { failure = error }
    for part in LogUploader.parts(of: found.filter { $0.kind != .testLog }) { try await send(part, sayLastWords) }
    if let failure { throw failure }
  }

  /// What can be sent at a time, in its order.
  private static func parts(of logs: [Artefact]) -> [[Artefact]] {
    var parts: [[Artefact]] = [[]]
    for log in logs {
      if ownLogs.contains(log.name) { parts += [[log], []] } else { parts[parts.count - 1].append(log) }
    }
    return parts
  }

  /// Sends files, several at a time; the log names them in their order.
  private func send(_ artefacts: [Artefact], _ sayLastWords: @Sendable () -> Void) async throws {
    var ready: [Artefact] = []
    for artefact in artefacts { if await prepare(artefact, sayLastWords) { ready.append(artefact) } }
    let batch = Guarded((waiting: ready[...], failure: (any Error)?.none))
    await withTaskGroup(of: Void.self) { group in
      // Each goes from file to file: a task for each file would cost more than the way through a task does.
      for _ in 0..<client.uploadsInHand {
        group.addTask {
          while let artefact = batch.withLock({ $0.failure == nil ? $0.waiting.popFirst() : nil }) {
            do { try await send(artefact) } catch { batch.withLock { $0.failure = $0.failure ?? error } }
          }
        }
      }
    }
    if let failure = batch.withLock({ $0.failure }) { throw failure }
  }

  /// Gets a file ready. Whether it is to be sent.
  private func prepare(_ artefact: Artefact, _ sayLastWords: @Sendable () -> Void) async -> Bool {
    if ledger.hasArrived(artefact.path) { return false }
    if artefact.name == "vars.json", await !redact(artefact.path) { return false }
    logger.info("Uploading \(artefact.name)")
    if artefact.kind == .log, artefact.name == "autoinst-log.txt" { sayLastWords() }
    return true
  }

  private func send(_ artefact: Artefact) async throws {
    var size = artefact.size
    if LogUploader.ownLogs.contains(artefact.name) {
      // What was logged so far has to be in the file before it is sent.
      size = try await lane.run { Files.status(of: artefact.path)?.size }
    }
    try await client.send(artefact.call(job: job))
    tally.note(bytes: size ?? 0)
    await ledger.note(artefact.path)
  }

  /// Takes the secrets out of the file. Whether it may be shown.
  private func redact(_ path: FilePath) async -> Bool {
    do {
      try await lane.run {
        guard let content = try Files.read(path) else { return }
        let redacted = try Redaction.redact(content)
        if redacted != content { try Files.replace(path, with: redacted) }
      }
      return true
    } catch {
      logger.warning("Skipping \(path): its secrets cannot be taken out: \(error)")
      return false
    }
  }
}
