import CommandServerClient
import Configuration
import Engines
import Logging
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import Transport
import Upload
import WebUIClient
import WebUISession

/// A job's life, from its acceptance to the free slot (protocol §5): one function that owns the order of things.
///
/// Whoever wants the job to stop opens `stop`; the first reason counts. Every wait ends when it is opened.
struct JobRun: Sendable {
  /// How long the backend has between SIGTERM and SIGKILL.
  static let grace = Duration.seconds(30)
  /// From the end of one pass over the results to the next.
  static let period = Duration.seconds(10)

  let slot: SlotContext
  let session: WebUISession
  let client: WebUIClient
  let webUI: Settings.WebUI
  let workerID: Int64
  let stop: Latch<StopReason>
  /// Called before the web UI hears that the job is over, and may give the next one.
  let isEnding: @Sendable () -> Void

  /// Whether the job ended well, as far as the web UI says.
  func run(_ grabbed: JobInfo) async -> Bool {
    var job = grabbed
    slot.logger.info("Accepting job \(job.id) from \(webUI.address)")
    await session.update(status: .working(job, webUI: webUI.address.entry), jobs: [job.id])
    guard await session.accept(job: job.id) else {
      slot.logger.error("Dropping job \(job.id): its web UI cannot be told that it is accepted")
      return false
    }
    if let reason = stop.value {
      slot.logger.info("Dropping job \(job.id) before its set-up: \(reason.name)")
      return false
    }
    let setup = JobSetup(slot: slot, webUI: webUI, workerID: workerID)
    slot.log.begin(job: job.id, webUI: "\(webUI.address)", pool: slot.pool)
    let backend = await prepare(&job, setup)
    var uploader: ResultUploader?
    if let backend {
      uploader = makeUploader(job, backend)
      if let uploader { await execute(job, backend, uploader) }
    } else {
      await tellUploading(job.id)
    }
    let isGood = await report(job, uploader)
    slot.log.end()
    if !slot.settings.keepsPool {
      do { try await slot.pool.clean() } catch { slot.logger.error("The pool cannot be cleaned: \(error)") }
    }
    return isGood
  }

  // MARK: Set-up

  /// Sets the job up, within its limit. Nil if the job was stopped instead.
  private func prepare(_ job: inout JobInfo, _ setup: JobSetup) async -> JobSetup.Backend? {
    let grabbed = job
    let limit = JobLimits(job, settings: slot.settings).setup
    return await withTaskGroup(of: PreparedJob?.self) { group in
      group.addTask {
        do {
          var job = grabbed
          let backend = try await setup.prepare(&job)
          return PreparedJob(job: job, backend: backend)
        } catch let failure as SetupFailure {
          slot.logger.error("Unable to setup job \(grabbed.id): \(failure.message)")
          stop.open(with: .setupFailure(failure))
        } catch is CancellationError {
        } catch {
          slot.logger.error("Unable to setup job \(grabbed.id): \(error)")
          stop.open(with: .setupFailure(SetupFailure(.setup, "\(error)")))
        }
        return nil
      }
      group.addTask {
        if await !sleepsFor(limit) { return nil }
        stop.open(with: .timedOut(.setup))
        return nil
      }
      group.addTask {
        while await sleepsFor(.seconds(5)) { await post(.setup(workerID: workerID), job: grabbed.id, tries: 1) }
        return nil
      }
      var prepared: PreparedJob?
      while prepared == nil, stop.value == nil, let result = await group.next() { prepared = result ?? prepared }
      group.cancelAll()
      guard stop.value == nil, let prepared else { return nil }
      job = prepared.job
      return prepared.backend
    }
  }

  private func makeUploader(_ job: JobInfo, _ backend: JobSetup.Backend) -> ResultUploader {
    ResultUploader(
      .init(
        job: job.id, workerID: workerID, commandServerURL: backend.commandServer.url,
        workerHostname: slot.workerHostname),
      client: client, pool: slot.pool.path, lane: slot.pool.lane, logger: slot.logger)
  }

  // MARK: Execution

  /// Starts the backend and returns when it and everything that served it has ended.
  private func execute(_ job: JobInfo, _ backend: JobSetup.Backend, _ uploader: ResultUploader) async {
    let limit = JobLimits(job, settings: slot.settings).execution
    slot.logger.info("Starting isotovideo")
    slot.log.logger(.test).debug("+++ worker notes +++")
    // The backend appends to the same log: what was logged so far comes first.
    try? await slot.pool.lane.run {}
    let tree = ProcessTree(backend.command, output: slot.pool.path.appending("autoinst-log.txt"))
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await watch(tree) }
      group.addTask { if await sleepsFor(limit) { stop.open(with: .timedOut(.execution)) } }
      group.addTask { await upload(uploader) }
      group.addTask { await greet(backend.commandServer) }
      group.addTask {
        await session.update(status: .working(job, webUI: webUI.address.entry), jobs: [job.id])
        await session.sendStatus()
      }
      let reason = await stopReason()
      slot.logger.info("Stopping job \(job.id) from \(webUI.address): \(reason.name)")
      group.addTask { await tellUploading(job.id) }
      if tree.isRunning {
        do {
          try await backend.commandServer.announceStop(reason: reason.name)
        } catch {
          slot.logger.debug("the backend was not told that it is stopped: \(error)")
        }
      }
      await tree.stop(grace: JobRun.grace)
    }
  }

  private func watch(_ tree: ProcessTree) async {
    do {
      let exit = try await tree.run()
      slot.log.logger(.test).info("Isotovideo exit status: \(exit)")
      stop.open(with: exit.isSuccess ? .done : .died)
    } catch is CancellationError {
      // Stopped before it was started: nothing has to be said of it.
    } catch {
      slot.logger.error("isotovideo can not be started: \(error)")
      stop.open(with: .setupFailure(SetupFailure(.setup, "isotovideo can not be started: \(error)")))
    }
  }

  /// Passes over the results until the job stops; the last one begun is finished.
  private func upload(_ uploader: ResultUploader) async {
    repeat {
      do {
        try await uploader.pass(isFinal: false)
      } catch let error as UploadError {
        switch error.code {
        case .status: stop.open(with: .apiFailure(error.description))
        case .noTestsScheduled: stop.open(with: .other(error.description))
        case .artefacts, .asset: break
        }
      } catch {
        slot.logger.warning("results are not uploaded now: \(error)")
      }
    } while await sleepsFor(JobRun.period)
  }

  /// Waits for the command server to come up, to say so.
  private func greet(_ server: CommandServer) async {
    while await sleepsFor(.milliseconds(500)) {
      guard let version = try? await server.version() else { continue }
      // While the backend starts, this request can get the answer to another one.
      slot.logger.info(
        "The backend's command server is up\(version.isotovideo.isEmpty ? "" : ": version \(version.isotovideo)")")
      return
    }
  }

  // MARK: The end

  /// Uploads logs and results and tells the web UI how the job ended. Whether it ended well.
  private func report(_ job: JobInfo, _ uploader: ResultUploader?) async -> Bool {
    var reason = await stopReason()
    let notes = slot.log.logger(.test)
    notes.info("+++ worker notes +++")
    notes.info("End time: \(Timestamp.utc())")
    notes.info("Result: \(reason.name)")
    if reason.uploadsLogs {
      let logs = LogUploader(
        job: job.id, client: client, pool: slot.pool.path, lane: slot.pool.lane, logger: slot.log.logger(.both))
      let assets = reason.uploadsAssets ? makeAssetUploader(job) : nil
      do { try await logs.upload(assets: assets) } catch { reason = .apiFailure("\(error)") }
    }
    if reason == .quit {
      var call = WebUIClient.Call(.post, "jobs/\(job.id)/duplicate")
      call.query = [("dup_type_auto", "1")]
      do { try await client.send(call) } catch { reason = .apiFailure("\(error): duplication after quit") }
    }
    var evidence = JobEnd.Evidence()
    if case .apiFailure = reason {
    } else if let uploader {
      do { try await uploader.pass(isFinal: true) } catch {
        let isStatus = (error as? UploadError)?.code == .status
        evidence.uploadFailure = "Unable to upload images: \(isStatus ? "posting status failed" : "\(error)")"
      }
    }
    evidence.baseState = BaseState(parsing: try? await slot.pool.read("base_state.json", limit: 1 << 20))
    if evidence.baseState != .missing {
      let log = try? await slot.pool.read("autoinst-log.txt", limit: 256 << 20)
      evidence.log = String(decoding: (log ?? nil) ?? [], as: UTF8.self)
    }
    return await setDone(job.id, JobEnd(reason, evidence: evidence), isCertain: reason.uploadsLogs)
  }

  private func makeAssetUploader(_ job: JobInfo) -> AssetUploader {
    AssetUploader(
      job: job.id, client: client, pool: slot.pool.path, lane: slot.pool.lane,
      options: AssetUploader.Options(slot.settings.upload, for: webUI.address), logger: slot.log.logger(.both),
      clock: slot.clock)
  }

  private func setDone(_ job: Int64, _ end: JobEnd, isCertain: Bool) async -> Bool {
    var call = WebUIClient.Call(.post, "jobs/\(job)/set_done")
    call.query = end.parameters(workerID: workerID)
    call.expectsJSON = false
    // After a failure of the web UI one try has to do; the next registration frees the job as well.
    if !isCertain { call.tries = 1 }
    isEnding()
    do {
      let result = try await client.send(call)["result"]?.scalar
      let shown = [result ?? end.result, end.reason].compactMap { $0 }.joined(separator: ", ")
      slot.logger.info("Job \(job) from \(webUI.address) finished - \(shown)")
      return result == "passed" || result == "softfailed"
    } catch {
      slot.logger.error("The end of job \(job) could not be told to \(webUI.address): \(error)")
      return false
    }
  }

  private func tellUploading(_ job: Int64) async { await post(.uploading(workerID: workerID), job: job) }

  private func post(_ status: JobStatus, job: Int64, tries: Int? = nil) async {
    var call = WebUIClient.Call(.post, "jobs/\(job)/status")
    call.body = .bytes(status.body, contentType: "application/json")
    call.expectsJSON = false
    call.tries = tries
    // What comes of it, the calls that follow tell.
    _ = try? await client.send(call)
  }

  // MARK: Waiting

  /// Why the job stops, as soon as that is decided; a run that is cancelled is quit.
  private func stopReason() async -> StopReason { (try? await stop.wait()) ?? .quit }

  /// Waits; false if the job stops meanwhile.
  private func sleepsFor(_ duration: Duration) async -> Bool {
    let (clock, stop) = (slot.clock, stop)
    return await withTaskGroup(of: Bool.self) { group in
      group.addTask { (try? await clock.sleep(for: duration)) != nil }
      group.addTask {
        _ = try? await stop.wait()
        return false
      }
      let isOver = await group.next() ?? false
      group.cancelAll()
      return isOver && stop.value == nil
    }
  }
}

/// A job that is set up.
private struct PreparedJob: Sendable {
  /// With the worker's settings laid over.
  var job: JobInfo
  var backend: JobSetup.Backend
}

/// How long a job's parts may take.
struct JobLimits: Sendable, Hashable {
  var setup: Duration
  var execution: Duration

  /// MAX_SETUP_TIME and MAX_JOB_TIME × TIMEOUT_SCALE of a job, where the worker's settings come first.
  init(_ job: JobInfo, settings: Settings) {
    func seconds(_ name: String, _ default: Double) -> Double {
      let text = settings.jobSettings[name]?.scalar ?? job.setting(name)
      guard let value = text.flatMap({ Double($0.trimmed) }), value > 0, value.isFinite else { return `default` }
      return value
    }
    setup = .seconds(seconds("MAX_SETUP_TIME", 3600))
    execution = .seconds(seconds("MAX_JOB_TIME", 7200) * seconds("TIMEOUT_SCALE", 1))
  }
}

extension AssetUploader.Options {
  init(_ settings: Settings.Upload, for webUI: WebUIAddress) {
    self.init()
    isLocal = settings.isLocal && webUI.isLocal
    // A chunk is in memory several times over, twice as large as the file's part that is in it.
    chunkSize = min(max(1, settings.chunkSize), AssetUploader.maximumChunkSize)
    tries = settings.tries
    delay = settings.delay
  }
}
