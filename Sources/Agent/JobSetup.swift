import CommandServerClient
import Configuration
import Engines
import Logging
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage

/// Sets a job up: pool, variables, assets, test code (protocol §5).
struct JobSetup: Sendable {
  /// What is needed to run the job.
  struct Backend: Sendable {
    var command: Command
    var commandServer: CommandServer
  }

  /// How long links to assets and test code may take.
  private static let linkLimit = Duration.seconds(300)

  let slot: SlotContext
  let webUI: Settings.WebUI
  let workerID: Int64
  let waits: SetupWaits

  private var folders: FolderCheck { FolderCheck(slot) }

  /// Prepares the pool and lays the worker's settings over the job's.
  /// - Throws: `SetupFailure`, and what keeps the pool from being used.
  func prepare(_ job: inout JobInfo) async throws -> Backend {
    do {
      return try await prepareBackend(&job)
    } catch var failure as SetupFailure {
      slot.log.logger(.test).error("\(failure.message)")
      // The cache service says what failed, but hardly why.
      if failure.category == .cache, await HostProbe(slot: slot).problem(of: .unwritableCache) != nil {
        failure.fault = .unwritableCache
      }
      throw failure
    } catch let failure as PoolFailure {
      throw SetupFailure(.setup, "The pool cannot be used: \(failure)", fault: failure.fault)
    }
  }

  private func prepareBackend(_ job: inout JobInfo) async throws -> Backend {
    let pool = slot.pool
    if !slot.settings.keepsPool { try await clean(pool) }
    try await pool.beginLogs()
    let notes = slot.log.logger(.test)
    notes.info("+++ setup notes +++")
    let system = slot.facts.system
    notes.info(
      "Running on \(slot.facts.nodeName):\(slot.settings.instance) (\(system[0]) \(system[2...].joined(separator: " ")))"
    )

    let share = try await share()
    var variables = JobVariables(
      job: &job, settings: slot.settings, webUI: webUI.address, workerID: workerID, share: share.string)
    if let problem = variables.unresolvable { notes.error("Placeholders are left as they are: \(problem)") }
    try await pool.write("job.json", job.json.bytes)
    // Web UIs have always got this one as a number.
    job.settings["QEMUPORT"] = .integer(Int64(slot.settings.qemuPort))
    try await pool.makeTemporaryDirectory()
    var place = Isotovideo.Folders(
      pool: pool.path, share: share, tests: folders.testRoots[0], cache: slot.settings.cache?.directory)
    let environment = Isotovideo.environment(for: variables, folders: place, base: slot.environment)
    await waits.wait(for: "running SYNC_ASSETS_HOOK") { await runHook(environment) }
    (variables, place.tests) = try await link(variables, share: share, job: job.id)
    try await pool.write("vars.json", JSON.object(variables.values).bytes)

    let url = "http://localhost:\(slot.settings.qemuPort + 1)/\(job.setting("JOBTOKEN") ?? "")"
    job.json["URL"] = .string(url)
    let (ready, folders, isotovideo, base) = (variables, place, slot.isotovideo, slot.environment)
    let command = try await pool.lane.run {
      try isotovideo.command(for: ready, folders: folders, environment: base)
    }
    return Backend(command: command, commandServer: CommandServer(url: url, http: slot.http))
  }

  private func clean(_ pool: Pool) async throws {
    do { try await pool.clean() } catch let cancellation as CancellationError {
      throw cancellation
    } catch {
      throw SetupFailure(.setup, "Unable to clean pool directory: \(error)", fault: .uncleanPool)
    }
  }

  private func share() async throws -> FilePath {
    do {
      return try await folders.share(of: webUI)
    } catch let error where slot.settings.cache != nil && !(error is CancellationError) {
      // What comes from the cache needs no share; what does not, misses it where it looks for it.
      return folders.usualShare(of: webUI)
    } catch let missing as FolderCheck.NoShare {
      throw SetupFailure(.setup, missing.description, fault: .noShare(webUI: webUI.address.entry))
    } catch let hanging as IOLane.TimedOut {
      throw SetupFailure(.setup, "The share of \(webUI.address) does not answer: \(hanging)")
    }
  }

  /// Runs what an administrator has configured to bring assets to the share. Its output goes to the worker's log; how it
  /// ends does not matter to the job.
  private func runHook(_ environment: [String: String]) async {
    guard let line = slot.settings.jobSettings["SYNC_ASSETS_HOOK"]?.scalar, !line.isEmpty else { return }
    slot.logger.info("Running SYNC_ASSETS_HOOK: \(line)")
    let command = Command(
      "/bin/sh", arguments: ["-c", line], environment: environment, workingDirectory: slot.pool.path)
    // The hook appends to the same log: what was logged so far comes first.
    try? await slot.pool.lane.run {}
    do {
      let exit = try await Program.run(command, appendingTo: slot.pool.path.appending("worker-log.txt"))
      slot.logger.log(level: exit.isSuccess ? .info : .warning, "SYNC_ASSETS_HOOK ended with exit status \(exit)")
    } catch is CancellationError {
      slot.logger.info("SYNC_ASSETS_HOOK was stopped with its job")
    } catch {
      slot.logger.warning("SYNC_ASSETS_HOOK did not run: \(error)")
    }
  }

  /// Links assets and test code into the pool, and sets the variables that name them. Returns the root of all test code,
  /// too.
  private func link(
    _ before: JobVariables, share: FilePath, job: Int64
  ) async throws -> (JobVariables, tests: FilePath) {
    let (pool, factory) = (slot.pool.path, share.appending("factory"))
    var cached: CachedFiles.Found?
    if let cache = slot.settings.cache {
      cached = try await CachedFiles(cache, slot: slot, webUI: webUI, job: job, waits: waits).fetch(for: before)
    }
    let found = cached
    let withAssets = try await read(share, inCache: found?.folder) {
      var variables = before
      if let found {
        try AssetLinks.link(found.assets, from: found.folder, &variables, pool: pool)
      } else {
        try AssetLinks.link(&variables, factory: factory, pool: pool)
      }
      if variables.values["ASSETDIR"] ?? .null == .null { variables["ASSETDIR"] = factory.string }
      return variables
    }
    let roots = found?.tests.map { [$0] } ?? folders.testRoots
    return try await read(share, inCache: found?.tests) {
      var variables = withAssets
      let isFolder = { (path: FilePath) in Files.status(of: path)?.kind == .directory }
      let root = roots.first(where: isFolder) ?? roots[0]
      try TestCode(&variables, root: root, exists: isFolder).link(in: pool)
      // Where the tests are, needles are.
      if let found, root == found.tests, variables["PRJDIR"] == share.string {
        variables["PRJDIR"] = found.folder.string
      }
      return (variables, root)
    }
  }

  /// Reads from the share, or from what is given of the cache, each on its lane.
  private func read<Value: Sendable>(
    _ share: FilePath, inCache folder: FilePath?, _ body: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    do {
      return try await waits.wait(for: "reading from \(folder ?? share)") {
        try await (folder == nil ? slot.shareLane : slot.cacheLane).run(limit: JobSetup.linkLimit, body)
      }
    } catch let hanging as IOLane.TimedOut {
      guard let folder else { throw SetupFailure(.setup, "The share \(share) does not answer: \(hanging)") }
      throw SetupFailure(.cache, "The cache \(folder) does not answer: \(hanging)")
    }
  }
}
