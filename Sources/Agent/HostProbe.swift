import Configuration
import Engines
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage

/// Finds out whether a fault of the host that has failed a job is still there.
struct HostProbe: Sendable {
  /// The longest time that a probe may take.
  private static let limit = Duration.seconds(10)
  /// Several times what a set-up writes, and little enough to be written each minute.
  private static let probeSize = 1 << 20

  let slot: SlotContext

  /// Returns what is wrong and what to do about it, or `nil` if the fault is gone.
  ///
  /// To be asked between jobs, or by a job that cannot go on: an unclean pool is cleaned.
  func problem(of fault: HostFault) async -> String? {
    do {
      switch fault {
      case .uncleanPool:
        if slot.settings.keepsPool { return nil }
        try await slot.pool.clean(limit: HostProbe.limit)
      case .noIsotovideo:
        let isotovideo = slot.isotovideo
        return try await slot.pool.lane.run(limit: HostProbe.limit) { isotovideo.problem() }
      case .noPerl:
        let environment = slot.environment
        let file = try await slot.pool.lane.run(limit: HostProbe.limit) {
          Command.find(Isotovideo.interpreter, in: environment)
        }
        if file == nil { return "\(Isotovideo.interpreter) is missing or cannot be executed: install it in PATH" }
      case .unwritablePool: try await write(to: slot.pool.path, on: slot.pool.lane)
      case .unwritableCache:
        guard let cache = slot.settings.cache else { return nil }
        do {
          try await write(to: cache.directory, on: slot.cacheLane)
        } catch let failure as PoolFailure where failure.fault == nil {
          // The cache service need not run as the same user.
        }
      case .noShare(let entry):
        guard let webUI = slot.settings.webUIs.first(where: { $0.address.entry == entry }) else { return nil }
        _ = try await FolderCheck(slot).share(of: webUI)
      }
      return nil
    } catch is IOLane.TimedOut where fault == .uncleanPool {
      return HostProbe.isBeingCleaned(slot.pool)
    } catch {
      return "\(error)"
    }
  }

  /// Words the problem of a pool that is still being cleaned.
  static func isBeingCleaned(_ pool: Pool) -> String {
    "\(pool.path): still removing what a job has left, or waiting for the file system"
  }

  private func write(to folder: FilePath, on lane: IOLane) async throws {
    do {
      try await lane.run(limit: HostProbe.limit) { try Files.probeWriting(in: folder, size: HostProbe.probeSize) }
    } catch let error as FileError {
      throw PoolFailure(error)
    }
  }
}
