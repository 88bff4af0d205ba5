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

  let slot: SlotContext
  let webUI: Settings.WebUI
  let workerID: Int64

  /// Prepares the pool and lays the worker's settings over the job's.
  /// - Throws: `SetupFailure`, and what keeps the pool from being used.
  func prepare(_ job: inout JobInfo) async throws -> Backend {
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
    try await pool.write("job.json", job.json.bytes)
    variables = try await link(variables, share: share)
    try await pool.write("vars.json", JSON.object(variables.values).bytes)
    let temporary = pool.path.appending("tmp")
    try await pool.lane.run { try Files.makeDirectory(temporary) }

    let url = "http://localhost:\(slot.settings.qemuPort + 1)/\(job.setting("JOBTOKEN") ?? "")"
    job.json["URL"] = .string(url)
    return Backend(
      command: try slot.isotovideo.command(
        for: variables, pool: pool.path, share: share, environment: slot.environment),
      commandServer: CommandServer(url: url, http: slot.http))
  }

  private func share() async throws -> FilePath {
    let places = [webUI.shareDirectory, slot.settings.paths.share].compactMap { $0 }
    let found = try await slot.shareLane.run { places.first { Files.status(of: $0)?.kind == .directory } }
    guard let found else {
      throw SetupFailure(.setup, "No share directory: none of \(places.map(\.string).joined(separator: ", ")) is there")
    }
    return found
  }

  /// Links assets and test code into the pool, and sets the variables that name them.
  private func link(_ variables: JobVariables, share: FilePath) async throws -> JobVariables {
    let (pool, project) = (slot.pool.path, slot.settings.paths.project)
    let before = variables
    do {
      return try await slot.shareLane.run(limit: .seconds(300)) {
        var variables = before
        let factory = share.appending("factory")
        try AssetLinks.link(&variables, factory: factory, pool: pool)
        if variables["ASSETDIR"] == nil { variables["ASSETDIR"] = factory.string }
        let isFolder = { (path: FilePath) in Files.status(of: path)?.kind == .directory }
        let roots = [project.appending("share/tests"), project.appending("tests")]
        let code = TestCode(&variables, root: roots.first(where: isFolder) ?? roots[0], exists: isFolder)
        try code.link(in: pool)
        return variables
      }
    } catch let failure as SetupFailure {
      slot.log.logger(.test).error("\(failure.message)")
      throw failure
    } catch let hanging as IOLane.TimedOut {
      throw SetupFailure(.setup, "The share \(share) does not answer: \(hanging)")
    }
  }
}
