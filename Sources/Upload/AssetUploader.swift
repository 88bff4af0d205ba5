package import Logging
import OpenQAProtocol
package import Support
package import SystemPackage
import Transport
package import WebUIClient

/// Brings a job's assets to the web UI when its backend has ended (protocol §8): in chunks, or by their paths if the web
/// UI runs on this host.
///
/// Chunks are made while they are sent (``ChunkSource``): however large an asset is, next to nothing of it is in memory.
package struct AssetUploader: Sendable {
  /// What is configured.
  package struct Options: Sendable, Hashable {
    /// Whether the web UI runs on this host and is told where assets are.
    package var isLocal = false
    /// Bytes, at most ``AssetUploader/maximumChunkSize``.
    package var chunkSize = 10_000_000
    /// Tries of each chunk.
    package var tries = 10
    /// The first wait between tries, without its random part.
    package var delay = Duration.seconds(5)
    /// Names of the assets that the job was given: the web UI lists them as the job's from the beginning.
    package var inputs: Set<String> = []

    package init() {}
  }

  /// Bytes of the largest chunk that can be sent.
  package static let maximumChunkSize = 500_000_000
  /// Sparse files can claim to have almost 2^63 bytes. Nothing that is computed from this many overflows.
  private static let maximumSize: Int64 = 1 << 60
  /// The longest wait between tries.
  private static let maximumDelay = Duration.seconds(30)
  /// Between two lines about an asset's progress.
  static let progressPeriod = Duration.seconds(10)
  /// Bytes that are read for the sum of a whole asset in one visit to the lane, and in one piece.
  private static let (visitSize, pieceSize): (Int64, Int64) = (8 << 20, 256 << 10)

  private let job: Int64
  private let client: WebUIClient
  private let pool: FilePath
  private let lane: IOLane
  private let options: Options
  private let ledger: UploadLedger
  private let logger: Logger
  private let tally: Observed<UploadTally>
  private let clock: any Clock<Duration>
  private let random: @Sendable () -> Double

  /// - Parameters:
  ///   - lane: the pool's.
  ///   - logger: gets the lines about each asset; the job's own logs show them, too.
  ///   - random: from 0 to 1, to be added to each wait in seconds.
  package init(
    job: Int64, client: WebUIClient, pool: FilePath, lane: IOLane, options: Options,
    ledger: UploadLedger = UploadLedger(), tally: Observed<UploadTally> = Observed(UploadTally()), logger: Logger,
    clock: any Clock<Duration> = DeadlineClock(),
    random: @escaping @Sendable () -> Double = { .random(in: 0...1) }
  ) {
    self.job = job
    self.client = client
    self.pool = pool
    self.lane = lane
    self.options = options
    self.ledger = ledger
    self.logger = logger
    self.tally = tally
    self.clock = clock
    self.random = random
  }

  /// Uploads every asset there is, one after the other.
  /// - Throws: ``UploadError`` for the first that cannot be delivered; `FileError`, `IOLane.TimedOut` for a pool that
  ///   cannot be read; `CancellationError`.
  package func upload() async throws {
    let pool = pool
    let (found, skipped) = try await lane.run { try AssetFile.find(in: pool) }
    for path in skipped { logger.warning("Skipping \(path): no plain file") }
    for asset in found where !ledger.hasArrived(asset.path) {
      logger.info("Uploading \(asset.name)")
      do {
        if options.isLocal {
          try await uploadLocally(asset)
        } else {
          do { try await uploadChunks(of: asset, isFirst: true) } catch let refusal as LastChunkRefused {
            logger.warning("\(asset.name): last chunk refused, uploading it from the beginning: \(refusal.problem)")
            try await uploadChunks(of: asset, isFirst: false)
          }
        }
        await ledger.note(asset.path)
      } catch let error where !(error is CancellationError) {
        let failure = error as? UploadError ?? UploadError(.asset, "Error uploading \(asset.name): \(error)")
        logger.error("\(failure)")
        await giveUp(asset)
        throw failure
      }
    }
  }

  private func uploadLocally(_ asset: AssetFile) async throws {
    try await lane.run { try asset.publish() }
    try await send(.bytes([]), of: asset, local: true, completes: true, what: "its path")
  }

  /// - Parameter isFirst: whether it is not done again, which it is but once.
  private func uploadChunks(of asset: AssetFile, isFirst: Bool) async throws {
    guard asset.size <= AssetUploader.maximumSize else {
      throw UploadError(.asset, "Error uploading \(asset.name): \(asset.size) bytes can be no asset's real size")
    }
    let size = Int64(options.chunkSize)
    // Bounded: by maximumSize.
    let total = (asset.size + size - 1) / size
    guard total > 0 else { return }
    let sent = Guarded(Int64(0))
    try await withThrowingTaskGroup(of: Void.self) { group in
      if total > 1 { group.addTask { try await report(asset, sent) } }
      group.addTask {
        let content = try await lane.run { try AssetContent(asset) }
        let digest = try await self.digest(of: content)
        for index in 1...total {
          let chunk = ChunkSource(index, of: total, size: size, content, digest)
          try await send(
            .made(length: chunk.length, by: chunk), of: asset, local: false, completes: index == total,
            isLast: isFirst && index == total && total > 1, what: "chunk \(index)/\(total)")
          sent.withLock { $0 = min(index * size, asset.size) }
          tally.note(bytes: min(size, asset.size - (index - 1) * size))
        }
      }
      // The report ends only by being cancelled.
      try await group.next()
      group.cancelAll()
    }
  }

  /// Says how far an asset is, until it is cancelled.
  private func report(_ asset: AssetFile, _ sent: Guarded<Int64>) async throws {
    var before: Int64 = 0
    while true {
      try await clock.sleep(for: AssetUploader.progressPeriod)
      let now = sent.withLock { $0 }
      let rate = (now - before) / AssetUploader.progressPeriod.components.seconds
      logger.info("\(asset.name): \(now) of \(asset.size) bytes uploaded, \(rate / 1000) kB/s")
      before = now
    }
  }

  /// The SHA-256 sum of the whole asset.
  private func digest(of content: AssetContent) async throws -> [UInt8] {
    let sum = RunningSum()
    let size = content.asset.size
    for start in stride(from: 0, to: size, by: Int(AssetUploader.visitSize)) {
      let end = min(start + AssetUploader.visitSize, size)
      try await lane.run {
        var piece: [UInt8] = []
        for start in stride(from: start, to: end, by: Int(AssetUploader.pieceSize)) {
          let count = Int(min(AssetUploader.pieceSize, end - start))
          if piece.count != count { piece = [UInt8](repeating: 0, count: count) }
          try piece.withUnsafeMutableBytes { try content.read(from: start, into: $0) }
          sum.update(piece)
        }
        try content.check()
      }
    }
    return sum.finish()
  }

  /// The web UI does not take the last chunk: what it had of the asset is gone, since it was damaged, or since it has put all
  /// of it together and the answer to that was lost. The same chunk again would not help.
  private struct LastChunkRefused: Error {
    var problem: String
  }

  /// Sends a chunk, or the asset's path, again until it has arrived or no tries remain.
  /// - Parameter completes: whether the web UI has the whole asset with it.
  /// - Throws: ``UploadError``; ``LastChunkRefused`` if `isLast`; `WebUIError` for what cannot be read or has changed.
  private func send(
    _ content: MultipartPart.Content, of asset: AssetFile, local: Bool, completes: Bool, isLast: Bool = false,
    what: String
  ) async throws {
    var parts = [
      MultipartPart(name: "file", filename: asset.name, content: content),
      MultipartPart(name: "asset", content: .bytes(Array(asset.scope.rawValue.utf8))),
    ]
    if local { parts.append(MultipartPart(name: "local", content: .bytes(Array(asset.path.string.utf8)))) }
    var call = WebUIClient.Call(.post, "jobs/\(job)/artefact")
    call.body = .multipart(parts)
    call.lane = .bulk
    call.tries = 1
    var attempt = 1
    while true {
      let problem: String
      do {
        let answer = try await client.send(call)
        if answer["status"]?.string == "ok" { return }
        problem = "unexpected answer \(answer.text.prefix(100))"
      } catch let error as WebUIError {
        problem = error.description
        // What cannot be read, or has changed, is no better the next time.
        if error.code == .unsendable { throw error }
        if completes, await isRegistered(asset) {
          logger.info("\(asset.name): the web UI has it, only the answer was lost (\(problem))")
          return
        }
        if case .status = error.code, isLast, !error.isBusy { throw LastChunkRefused(problem: problem) }
      }
      guard attempt < options.tries else {
        throw UploadError(.asset, "Error uploading \(asset.name), \(what): \(problem)")
      }
      logger.error("Upload of \(asset.name), \(what), failed: \(problem) (try \(attempt) of \(options.tries))")
      try await clock.sleep(for: delay(after: attempt))
      attempt += 1
    }
  }

  /// Returns whether the web UI has made the asset one of the job's, which it does when it has verified all of it. openQA
  /// takes no asset of a job twice: it lets the second one wait for an answer that never comes.
  private func isRegistered(_ asset: AssetFile) async -> Bool {
    let number = String(job)
    let prefix = String(repeating: "0", count: max(0, 8 - number.count)) + number
    let name = asset.scope == .private ? "\(prefix)-\(asset.name)" : asset.name
    guard !options.inputs.contains(name) else { return false }
    var call = WebUIClient.Call(.get, "jobs/\(job)")
    call.tries = 1
    let lists = (try? await client.send(call))?["job"]?["assets"]?.object ?? [:]
    return lists.values.contains { $0.array?.contains(.string(name)) == true }
  }

  private func delay(after attempt: Int) -> Duration {
    // Bounded: by the number of tries.
    min(AssetUploader.maximumDelay, options.delay + .seconds(attempt - 1) + .seconds(random()))
  }

  /// Lets the web UI throw away what it has got of an asset.
  private func giveUp(_ asset: AssetFile) async {
    let form = Query.text([("filename", asset.name), ("scope", asset.scope.rawValue), ("state", "fail")])
    var call = WebUIClient.Call(.post, "jobs/\(job)/upload_state")
    call.body = .bytes(Array(form.utf8), contentType: "application/x-www-form-urlencoded")
    call.expectsJSON = false
    call.tries = 1
    do { try await client.send(call) } catch {
      logger.warning("The web UI does not know that the upload of \(asset.name) failed: \(error)")
    }
  }
}

/// A SHA-256 sum that is taken in several visits to a lane.
private final class RunningSum: Sendable {
  /// The hasher cannot be copied, and therefore not be guarded itself.
  private final class Box {
    var hasher: Digest.Hasher? = Digest.Hasher(.sha256)
  }

  private let box = Guarded(Box())

  /// Appends `bytes`.
  func update(_ bytes: [UInt8]) { box.withLock { $0.hasher?.update(bytes) } }

  /// The raw sum; to be asked for once.
  func finish() -> [UInt8] { box.withLock { $0.hasher.take()?.finish() ?? [] } }
}
