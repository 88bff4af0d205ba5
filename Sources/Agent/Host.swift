package import Configuration
import Engines
import Logging
import PNGOptimizer
import ProcessTree
package import Support
import SystemPackage
import Transport
import WebUIClient

/// All slots of this process, and what they share: threads, connections, the knowledge of the host.
package struct Host: Sendable {
  private let slots: [Slot]
  private let http: HTTPClient
  private let shutdowns: [IdleShutdown]
  private let logs: [SlotLog]
  private let output: LogOutput
  private let heartbeat: Heartbeat
  private let report: ServiceReport?
  private let memory: IdleMemory

  /// Puts the slots together.
  /// - Parameters:
  ///   - settings: one for each slot.
  ///   - environment: what backends get.
  ///   - notifier: the service manager, if there is one to tell.
  ///   - shareLane: what all slots read their shares on; nil for a lane of each slot's own.
  ///   - recheck: how often slots look at what keeps them from taking jobs.
  ///   - problems: what is wrong with this process, for the log.
  /// - Throws: what keeps threads from being started.
  package init(
    _ settings: [Settings], environment: [String: String], output: LogOutput, notifier: ServiceNotifier? = nil,
    shareLane: IOLane? = nil, recheck: RecheckIntervals = RecheckIntervals(), problems: [String] = []
  ) async throws {
    self.output = output
    // What takes its time goes on at once: programs and the resolver are asked while certificates are read.
    let pools = try settings.map { try Pool($0.pool) }
    async let versions = Host.interfaceVersions(of: settings, pools: pools, environment: environment)
    async let knowledge = HostFacts.find(environment: environment)
    async let unitWarning = ServiceUnit.warning(environment: environment)
    http = try HTTPClient(Host.httpConfiguration(for: settings))
    let webSockets = try WebSocketClient()
    var facts = try await knowledge
    if let warning = await unitWarning { facts.problems.append(warning) }
    facts.problems += problems
    let hostLog = SlotLog(level: settings.map(\.logLevel).min() ?? .info, output: output)
    let hostLogger = hostLog.logger()
    let watcher = FileWatcher { hostLogger.warning("\($0)") }
    let images = try ImageWorkers()
    let memoryLane = try IOLane(name: "memory")
    let memory = IdleMemory { thoroughly in
      let bytes = try? await memoryLane.run {
        ProcessMemory.giveBack(thoroughly: thoroughly)
        return ProcessMemory.bytesInUse
      }
      // The one number that tells a leak from memory that malloc keeps: a host whose log shows it grow leaks.
      if let bytes { hostLogger.debug("Memory in use: \(bytes) bytes") }
    }
    let uploads = SharedUploads.all(for: settings)
    let report = notifier.map { ServiceReport($0, slots: settings.map(\.instance), logger: hostLogger) }
    var slots: [Slot] = []
    var logs: [SlotLog] = []
    var shutdowns: [IdleShutdown] = []
    for ((settings, pool), version) in zip(zip(settings, pools), await versions) {
      let file = settings.logFile(nodeName: facts.nodeName)
      let log = SlotLog(
        level: settings.logLevel, slot: settings.instance,
        output: try file.map { try LogOutput.file($0, fallback: output) } ?? output)
      logs.append(log)
      let logger = log.logger()
      for warning in settings.warnings + facts.problems { logger.warning("\(warning)") }
      // Asked again before each job while it is not known.
      let interfaceVersion = try? version.get()
      let workerHostname = facts.workerHostname(for: settings) ?? ""
      let shareLane = try shareLane ?? IOLane(name: "share")
      let filledShares = Guarded<Set<FilePath>>([])
      var settings = settings
      let environment = Host.backendEnvironment(environment, pool: pool)
      do {
        settings.webUIs = try await FolderCheck(paths: settings.paths, lane: shareLane, filledShares: filledShares)
          .usable(settings, logger: logger)
        try await Host.listPackages(settings, in: pool, environment: environment, logger: logger)
      } catch {
        await log.flush()
        await output.flush()
        throw error
      }
      if !workerHostname.isEmpty { settings.jobSettings["WORKER_HOSTNAME"] = .string(workerHostname) }
      let shutdown = settings.ipmi.flatMap {
        IdleShutdown($0, environment: SlotContext.helperEnvironment(environment), logger: logger)
      }
      if let shutdown { shutdowns.append(shutdown) }
      let context = SlotContext(
        settings: settings, facts: facts, workerHostname: workerHostname, pool: pool, shareLane: shareLane,
        filledShares: filledShares,
        cacheLane: settings.cache == nil ? shareLane : try IOLane(name: "cache"), http: http,
        webSockets: webSockets, watcher: watcher, images: images, uploads: uploads, log: log,
        isotovideo: Isotovideo(settings), supervisor: Supervisor(settings, environment: environment),
        environment: environment, clock: DeadlineClock(),
        startLimit: try settings.lock.map { try StartLimit($0) }, recheck: recheck,
        report: { [number = settings.instance] in
          report?.note($0, slot: number)
          shutdown?.note($0)
          memory.note($0, slot: number)
        })
      logger.info("worker address (WORKER_HOSTNAME): \(workerHostname.isEmpty ? "unknown" : workerHostname)")
      slots.append(
        Slot(
          context, registration: facts.registration(settings, interfaceVersion: interfaceVersion)))
    }
    heartbeat = Heartbeat(
      slots: zip(zip(settings, slots), pools).map { ($0.0.instance, $0.1, $1) }, http: http, webSockets: webSockets)
    self.report = report
    self.memory = memory
    self.slots = slots
    self.logs = logs
    self.shutdowns = shutdowns
  }

  /// Puts the list of packages into a slot's pool, if there is to be one. A pool that cannot be used is the slot's matter.
  /// - Throws: `PackageList.Missing`, `CancellationError`.
  private static func listPackages(
    _ settings: Settings, in pool: Pool, environment: [String: String], logger: Logger
  ) async throws {
    guard let command = settings.packagesCommand else { return }
    logger.info("Gathering package information: \(command)")
    do {
      let environment = SlotContext.helperEnvironment(environment)
      try await pool.keepPackageList(try await PackageList(command: command, environment: environment).make())
    } catch let missing as PackageList.Missing {
      logger.error("\(missing)")
      throw missing
    } catch {
      logger.warning("worker_packages.txt cannot be written: \(error)")
    }
  }

  /// Room for each web UI's connections and each slot's command server: web UIs that hold all of theirs keep nobody else
  /// waiting.
  private static func httpConfiguration(for settings: [Settings]) -> HTTPClient.Configuration {
    var configuration = HTTPClient.Configuration(userAgent: "worker-agent/\(Version.current)")
    let webUIs = Set(settings.flatMap { $0.webUIs.map(\.address.origin) })
    // The lanes do not share connections: one of them has the uploads.
    configuration.connectionsPerHost = max(
      configuration.connectionsPerHost, settings.map(\.upload.concurrency).max() ?? 0)
    configuration.connectionsPerLane = webUIs.count * configuration.connectionsPerHost + settings.count
    return configuration
  }

  /// Everything but what is this process's own business, and the mark of the pool.
  private static func backendEnvironment(_ environment: [String: String], pool: Pool) -> [String: String] {
    var own = environment.filter { !ServiceNotifier.variables.contains($0.key) }
    own[SlotContext.poolMark] = pool.path.string
    return own
  }

  /// What the program of each slot says of itself; slots that share one ask it once.
  private static func interfaceVersions(
    of settings: [Settings], pools: [Pool], environment: [String: String]
  ) async -> [Result<Int, any Error>] {
    var versions: [Isotovideo: Result<Int, any Error>] = [:]
    var results: [Result<Int, any Error>] = []
    for (settings, pool) in zip(settings, pools) {
      let program = Isotovideo(settings)
      if let known = versions[program] {
        results.append(known)
        continue
      }
      let version: Result<Int, any Error>
      do { version = .success(try await program.interfaceVersion(environment: environment, pool: pool)) } catch {
        version = .failure(error)
      }
      versions[program] = version
      results.append(version)
    }
    return results
  }

  /// Runs all slots to their ends.
  /// - Parameter commands: what is wanted of every slot.
  /// - Returns: `asked` or `reloading` if that holds for all.
  package func run(_ commands: AsyncStream<Slot.Command>) async -> Slot.End {
    let feeds = slots.map { _ in AsyncStream<Slot.Command>.makeStream() }
    return await withTaskGroup(of: Slot.End?.self) { group in
      group.addTask {
        for await command in commands {
          for feed in feeds { feed.continuation.yield(command) }
          if command != .finish { await report?.stopping() }
        }
        return nil
      }
      group.addTask {
        await report?.run(heartbeat)
        return nil
      }
      for shutdown in shutdowns {
        group.addTask {
          await shutdown.run()
          return nil
        }
      }
      for (slot, feed) in zip(slots, feeds) { group.addTask { await slot.run(feed.stream) } }
      group.addTask {
        await memory.run()
        return nil
      }
      var ends: [Slot.End] = []
      while ends.count < slots.count, let end = await group.next() { if let end { ends.append(end) } }
      let end = ends.contains(.noWebUI) ? .noWebUI : ends.first { $0 != .reloading } ?? .reloading
      if end != .reloading { await report?.stopping() }
      group.cancelAll()
      await http.shutdown()
      await flush()
      return end
    }
  }

  /// Notes on the records of running jobs that this process hands over as it was asked to.
  package func noteHandover() async {
    await withTaskGroup(of: Void.self) { group in
      for slot in slots { group.addTask { await slot.noteAskedEnd() } }
    }
  }

  /// Returns when all that was logged so far is written, or after a second for each log.
  package func flush() async {
    for log in logs { await log.flush() }
    await output.flush()
  }
}

extension Supervisor {
  fileprivate init(_ settings: Settings, environment: [String: String]) {
    self.init(places: Supervisor.places(environment))
    if let slice = settings.cgroupSlice { cgroupParent = ControlGroup.named(slice) }
    orphanLimit = settings.orphanLimit
    markName = SlotContext.poolMark
  }

  /// Returns the places of job-supervisor: the folder that WORKER_AGENT_LIBEXEC names, or those of an installation.
  fileprivate static func places(_ environment: [String: String]) -> [FilePath] {
    let folder = environment["WORKER_AGENT_LIBEXEC"] ?? ""
    return places(
      for: "worker-agent", folder: folder.isEmpty ? nil : Files.currentDirectory.pushing(FilePath(folder)))
  }
}

extension Host {
  /// Checks that the programs that this one runs jobs with are installed. Blocks.
  /// - Throws: `ProcessError` that names what is missing.
  package static func checkInstallation(environment: [String: String]) throws {
    _ = try Supervisor(places: Supervisor.places(environment)).findProgram()
  }
}
