package import Logging
package import Support
package import SystemPackage
package import WebUIClient

/// Brings a job's logs to the web UI when its backend has ended (protocol §7).
package struct LogUploader: Sendable {
  private let job: Int64
  private let client: WebUIClient
  private let pool: FilePath
  private let lane: IOLane
  private let ledger: UploadLedger
  private let logger: Logger

  /// - Parameters:
  ///   - lane: the pool's.
  ///   - logger: gets a line for each file; the job's own logs show it, too.
  package init(
    job: Int64, client: WebUIClient, pool: FilePath, lane: IOLane, ledger: UploadLedger = UploadLedger(),
    logger: Logger
  ) {
    self.job = job
    self.client = client
    self.pool = pool
    self.lane = lane
    self.ledger = ledger
    self.logger = logger
  }

  /// Uploads every log there is, one after the other.
  /// - Parameters:
  ///   - assets: what brings the job's assets, between the test's own logs and the others, which tell how that went.
  ///   - sayLastWords: writes what the test's log is to end with.
  /// - Throws: the `WebUIError` of the first that cannot be delivered; ``UploadError`` of `assets`, after the logs;
  ///   `FileError`, `IOLane.TimedOut` for a pool that cannot be read; `CancellationError`.
  package func upload(assets: AssetUploader? = nil, sayLastWords: @Sendable () -> Void = {}) async throws {
    let pool = pool
    let (found, skipped) = try await lane.run { try LogFiles.find(in: pool) }
    for path in skipped { logger.warning("Skipping \(path): no plain file") }
    for artefact in found where artefact.kind == .testLog { try await send(artefact, sayLastWords) }
    var failure: UploadError?
    do { try await assets?.upload() } catch let error as UploadError { failure = error }
    for artefact in found where artefact.kind != .testLog { try await send(artefact, sayLastWords) }
    if let failure { throw failure }
  }

  private func send(_ artefact: Artefact, _ sayLastWords: @Sendable () -> Void) async throws {
    if ledger.hasArrived(artefact.path) { return }
    if artefact.name == "vars.json", await !redact(artefact.path) { return }
    logger.info("Uploading \(artefact.name)")
    if artefact.kind == .log, artefact.name == "autoinst-log.txt" { sayLastWords() }
    // What was logged so far has to be in the file before it is sent.
    try await lane.run {}
    try await client.send(artefact.call(job: job))
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
