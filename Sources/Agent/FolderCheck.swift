import Configuration
import Logging
import Support
import SystemPackage

/// The folders that jobs need of this host: which of several it is, and whether they are there when the agent starts.
///
/// All of it runs on the share's lane, since a share is where file systems hang.
struct FolderCheck: Sendable {
  /// No web UI is left whose jobs could be run.
  struct NoShare: Error, CustomStringConvertible {
    var description: String
  }

  /// How long a share has to answer before the agent goes on without having seen it.
  static let limit = Duration.seconds(10)

  let paths: Settings.Paths
  let lane: IOLane
  /// Shares that have been seen with something in them.
  let filledShares: Guarded<Set<FilePath>>

  init(paths: Settings.Paths, lane: IOLane, filledShares: Guarded<Set<FilePath>>) {
    (self.paths, self.lane, self.filledShares) = (paths, lane, filledShares)
  }

  init(_ slot: SlotContext) {
    self.init(paths: slot.settings.paths, lane: slot.shareLane, filledShares: slot.filledShares)
  }

  /// The share that jobs of a web UI use: its own, or this host's. One that is empty and was not before is a mount point
  /// whose file system is gone.
  /// - Throws: ``NoShare`` that names the places; `IOLane.TimedOut`.
  func share(of webUI: Settings.WebUI) async throws -> FilePath {
    let places = places(of: webUI)
    let (found, emptied) = try await lane.run(limit: FolderCheck.limit) { [filledShares] in
      let folders = places.filter { Files.status(of: $0)?.kind == .directory }
      // One that cannot be listed can still be searched.
      let filled = folders.filter { (try? Files.entries(in: $0).isEmpty) != true }
      return filledShares.withLock { known in
        known.formUnion(filled)
        return (folders.first { filled.contains($0) || !known.contains($0) }, folders.first)
      }
    }
    if let found { return found }
    if let emptied {
      throw NoShare(
        description: "No share directory for \(webUI.address): \(emptied) is empty, and was not before: mount it")
    }
    let names = places.map(\.string).joined(separator: " nor ")
    throw NoShare(
      description:
        "No share directory for \(webUI.address): \(places.count > 1 ? "neither " : "no ")\(names): mount it, "
        + "or set SHARE_DIRECTORY in the section [\(webUI.address)] of workers.ini")
  }

  /// Where the share of a web UI is if it is there.
  func usualShare(of webUI: Settings.WebUI) -> FilePath { places(of: webUI)[0] }

  private func places(of webUI: Settings.WebUI) -> [FilePath] {
    [webUI.shareDirectory, paths.share].compactMap { $0 }
  }

  /// Where test code is; the first place if it is in none.
  var testRoots: [FilePath] { [paths.project.appending("share/tests"), paths.project.appending("tests")] }

  /// The web UIs whose jobs can be run, as far as can be told when the agent starts: those that have a share, or with a
  /// cache all. The log has what is missing, and what to do about it.
  /// - Throws: ``NoShare`` if none is left.
  func usable(_ settings: Settings, logger: Logger) async throws -> [Settings.WebUI] {
    var usable: [Settings.WebUI] = []
    for webUI in settings.webUIs {
      do {
        _ = try await share(of: webUI)
        usable.append(webUI)
      } catch is NoShare where settings.cache != nil {
        logger.info("No share directory for \(webUI.address): assets come from the cache")
        usable.append(webUI)
      } catch let missing as NoShare {
        logger.error("Ignoring \(webUI.address): \(missing)")
      } catch {
        logger.warning("The share of \(webUI.address) cannot be checked: \(error); jobs will tell")
        usable.append(webUI)
      }
    }
    if usable.isEmpty { throw NoShare(description: "No web UI is left to take jobs from: none has a share directory") }
    let usesShare = { (webUI: Settings.WebUI) in settings.cache == nil || webUI.testPoolServer == nil }
    if usable.contains(where: usesShare) { await checkTests(logger, hasCache: settings.cache != nil) }
    return usable
  }

  private func checkTests(_ logger: Logger, hasCache: Bool) async {
    let names = testRoots.map(\.string).joined(separator: " nor ")
    let more = hasCache ? ", or set TESTPOOLSERVER in the web UI's section of workers.ini" : ""
    do {
      guard try await firstFolder(of: testRoots) == nil else { return }
      logger.warning("No test code: neither \(names) is there: mount the web UI's tests there, or link to them\(more)")
    } catch {
      logger.warning("Neither \(names) can be checked: \(error); jobs will tell")
    }
  }

  private func firstFolder(of places: [FilePath]) async throws -> FilePath? {
    try await lane.run(limit: FolderCheck.limit) { places.first { Files.status(of: $0)?.kind == .directory } }
  }
}
