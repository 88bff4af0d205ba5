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

  private var folders: FolderCheck { FolderCheck(paths: slot.settings.paths, lane: slot.shareLane) }

  /// Prepares the pool and lays the worker's settings over the job's.
  /// - Throws: `SetupFailure`, and what keeps the pool from being used.
  func prepare(_ job: inout JobInfo) async throws -> Backend {
    do {
      return try await prepareBackend(&job)
    } catch let failure as SetupFailure {
      slot.log.logger(.test).error("\(failure.message)")
      throw failure
    } catch let failure as PoolFailure {
      throw SetupFailure(.setup, "The pool cannot be used: \(failure)")
    }
  }

  private func prepareBackend(_ job: inout JobInfo) async throws -> Backend {
    let pool = slot.pool
    if !slot.settings.keepsPool { try await pool.clean() }
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
    await runHook(Isotovideo.environment(for: variables, folders: place, base: slot.environment))
    (variables, place.tests) = try await link(variables, share: share)
    try await pool.write("vars.json", JSON.object(variables.values).bytes)

    let url = "http://localhost:\(slot.settings.qemuPort + 1)/\(job.setting("JOBTOKEN") ?? "")"
    job.json["URL"] = .string(url)
    let (ready, folders, isotovideo, environment) = (variables, place, slot.isotovideo, slot.environment)
    let command = try await pool.lane.run {
      try isotovideo.command(for: ready, folders: folders, environment: environment)
    }
    return Backend(command: command, commandServer: CommandServer(url: url, http: slot.http))
  }

  private func share() async throws -> FilePath {
    do {
      return try await folders.share(of: webUI)
    } catch let missing as FolderCheck.NoShare {
      throw SetupFailure(.setup, missing.description)
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
  private func link(_ variables: JobVariables, share: FilePath) async throws -> (JobVariables, tests: FilePath) {
    let (pool, roots) = (slot.pool.path, folders.testRoots)
    let before = variables
    do {
      return try await slot.shareLane.run(limit: JobSetup.linkLimit) {
        var variables = before
        let factory = share.appending("factory")
        try AssetLinks.link(&variables, factory: factory, pool: pool)
        if variables.values["ASSETDIR"] ?? .null == .null { variables["ASSETDIR"] = factory.string }
        let isFolder = { (path: FilePath) in Files.status(of: path)?.kind == .directory }
        let root = roots.first(where: isFolder) ?? roots[0]
        try TestCode(&variables, root: root, exists: isFolder).link(in: pool)
        return (variables, root)
      }
    } catch let hanging as IOLane.TimedOut {
      throw SetupFailure(.setup, "The share \(share) does not answer: \(hanging)")
    }
  }
}
