package import Logging
package import PNGOptimizer
import ProcessTree
package import Support
package import SystemPackage

/// Makes screenshots smaller before they are sent (protocol §6). The files stay as they are: an image is named by what is in
/// its file, for whoever comes to upload it.
package struct ImageCompression: Sendable {
  /// How.
  package enum Kind: Sendable, Hashable {
    /// Not at all.
    case none
    /// Every pixel stays as it is; nil for a level that follows the number of images that wait.
    case lossless(PNGLevel?)
    /// Fewer colours, by pngquant, if that is there.
    case quantised
  }

  /// Runs pngquant.
  package struct Quantiser: Sendable {
    /// Of which `PATH` counts.
    package var environment: [String: String]
    /// A folder for what it writes.
    package var folder: FilePath

    package init(environment: [String: String], folder: FilePath) {
      self.environment = environment
      self.folder = folder
    }
  }

  /// What is known of pngquant's failures.
  private enum Trouble {
    /// It cannot be run, or does not end: it is not asked again.
    case isMissing
    /// It has failed with an image, and may do better with the next one.
    case hasFailed
  }

  private static let quantiserLimit = Duration.seconds(60)

  private let kind: Kind
  private let workers: ImageWorkers
  private let quantiser: Quantiser
  private let lane: IOLane
  private let logger: Logger
  private let trouble = Guarded<Trouble?>(nil)

  /// - Parameters:
  ///   - workers: the host's.
  ///   - lane: the pool's.
  package init(_ kind: Kind, workers: ImageWorkers, quantiser: Quantiser, lane: IOLane, logger: Logger) {
    self.kind = kind
    self.workers = workers
    self.quantiser = quantiser
    self.lane = lane
    self.logger = logger
  }

  /// The content to send for a screenshot: a smaller one, or the same where that is not to be had.
  /// - Parameter isUrgent: somebody waits for it: it takes little time, or none.
  /// - Throws: `CancellationError`.
  func compress(_ content: [UInt8], of path: FilePath, isUrgent: Bool) async throws -> [UInt8] {
    switch kind {
    case .none: return content
    case .lossless(let level): return try await optimise(content, of: path, level, isUrgent: isUrgent)
    case .quantised:
      if let smaller = try await quantise(path) { return smaller.count < content.count ? smaller : content }
      return try await optimise(content, of: path, nil, isUrgent: isUrgent)
    }
  }

  private func optimise(
    _ content: [UInt8], of path: FilePath, _ level: PNGLevel?, isUrgent: Bool
  ) async throws -> [UInt8] {
    if isUrgent, workers.backlog > ImageWorkers.defaultThreads { return content }
    do {
      switch try await workers.compress(content, level: isUrgent ? .fastest : level) {
      case .smaller(let smaller): return smaller
      case .kept: return content
      }
    } catch let defect as PNGDefect {
      logger.warning("\(path) is uploaded as it is: it \(defect)")
      return content
    }
  }

  /// Nil if pngquant cannot be used, or fails with this image; the first failure of each kind is logged.
  private func quantise(_ path: FilePath) async throws -> [UInt8]? {
    if trouble.withLock({ $0 }) == .isMissing { return nil }
    let output = quantiser.folder.appending(".quantised-\(String(UInt64.random(in: .min ... .max), radix: 36)).png")
    let command = Command(
      "pngquant", arguments: ["--force", "--output", output.string, "--", path.string],
      environment: quantiser.environment, workingDirectory: quantiser.folder)
    do {
      let exit = try await Program.answer(of: command, limit: ImageCompression.quantiserLimit).exit
      let smaller = try await lane.run {
        defer { try? Files.remove(output) }
        return exit.isSuccess ? try Files.read(output) : nil
      }
      if smaller == nil { note(.hasFailed, "pngquant failed with exit status \(exit) for \(path)") }
      return smaller
    } catch let error as ProcessError {
      note(.isMissing, "\(error)")
    } catch let error where !(error is CancellationError) {
      note(.hasFailed, "\(error)")
    }
    return nil
  }

  private func note(_ new: Trouble, _ what: String) {
    let isNews = trouble.withLock { trouble in
      defer { trouble = trouble == .isMissing ? .isMissing : new }
      return trouble != new
    }
    if isNews { logger.warning("USE_PNGQUANT: \(what); images are made smaller without loss instead") }
  }
}
