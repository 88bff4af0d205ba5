package import Configuration
import Engines
import Logging
package import Support
import SystemPackage
import Transport

/// All slots of this process, and what they share: threads, connections, the knowledge of the host.
package struct Host: Sendable {
  private let slots: [Slot]
  private let http: HTTPClient
  private let output: LogOutput

  /// Puts the slots together.
  /// - Parameters:
  ///   - settings: one for each slot.
  ///   - environment: what backends get.
  ///   - shareLane: what all slots read their shares on; nil for a lane of each slot's own.
  /// - Throws: what keeps threads from being started.
  package init(
    _ settings: [Settings], environment: [String: String], output: LogOutput, shareLane: IOLane? = nil
  ) async throws {
    self.output = output
    http = try HTTPClient(HTTPClient.Configuration(userAgent: "worker-agent"))
    let webSockets = try WebSocketClient()
    let facts = try await HostFacts.find(environment: environment)
    var slots: [Slot] = []
    for settings in settings {
      let log = SlotLog(level: settings.logLevel, output: output)
      let logger = log.logger()
      for warning in settings.warnings + facts.problems { logger.warning("\(warning)") }
      let isotovideo = Isotovideo(settings)
      let pool = try Pool(settings.pool)
      var interfaceVersion = 0
      do {
        interfaceVersion = try await isotovideo.interfaceVersion(environment: environment, pool: pool)
      } catch {
        logger.error("\(error); give its path with --isotovideo")
      }
      let workerHostname = facts.workerHostname(for: settings) ?? ""
      let shareLane = try shareLane ?? IOLane(name: "share")
      var settings = settings
      do {
        settings.webUIs = try await FolderCheck(paths: settings.paths, lane: shareLane).usable(settings, logger: logger)
      } catch {
        await output.flush()
        throw error
      }
      if !workerHostname.isEmpty { settings.jobSettings["WORKER_HOSTNAME"] = .string(workerHostname) }
      let context = SlotContext(
        settings: settings, facts: facts, workerHostname: workerHostname, pool: pool,
        shareLane: shareLane, http: http, log: log, isotovideo: isotovideo, environment: environment,
        clock: ContinuousClock())
      logger.info("worker address (WORKER_HOSTNAME): \(workerHostname.isEmpty ? "unknown" : workerHostname)")
      slots.append(
        Slot(
          context, registration: facts.registration(settings, interfaceVersion: interfaceVersion),
          webSockets: webSockets))
    }
    self.slots = slots
  }

  /// Runs all slots to their ends.
  /// - Parameter commands: what is wanted of every slot.
  /// - Returns: whether all ended because they were asked to.
  package func run(_ commands: AsyncStream<Slot.Command>) async -> Bool {
    let feeds = slots.map { _ in AsyncStream<Slot.Command>.makeStream() }
    return await withTaskGroup(of: Slot.End?.self) { group in
      group.addTask {
        for await command in commands { for feed in feeds { feed.continuation.yield(command) } }
        return nil
      }
      for (slot, feed) in zip(slots, feeds) { group.addTask { await slot.run(feed.stream) } }
      var ends: [Slot.End] = []
      while ends.count < slots.count, let end = await group.next() { if let end { ends.append(end) } }
      group.cancelAll()
      await http.shutdown()
      await output.flush()
      return ends.allSatisfy { $0 == .asked }
    }
  }
}
