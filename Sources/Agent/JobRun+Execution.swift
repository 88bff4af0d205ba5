import CommandServerClient
import Configuration
import Engines
import Logging
import OpenQAProtocol
import PNGOptimizer
import ProcessTree
import Support
import SystemPackage
import Upload
import WebUISession

extension JobRun {
  func makeUploader(_ job: JobInfo, _ server: CommandServer) -> ResultUploader {
    ResultUploader(
      .init(
        job: job.id, workerID: workerID, commandServerURL: server.url, workerHostname: slot.workerHostname),
      client: client, pool: slot.pool.path, lane: slot.pool.lane, compression: compression(job),
      known: slot.uploads(to: webUI).known, logger: slot.logger)
  }

  /// How the job's screenshots are made smaller: its own settings say it, which the worker's win over.
  private func compression(_ job: JobInfo) -> ImageCompression {
    var kind = ImageCompression.Kind.lossless(nil)
    if let name = job.setting("OPTIMIZE_LEVEL"), name != "auto" {
      let levels: [String: PNGLevel] = ["fast": .fast, "default": .standard, "small": .small]
      if let level = levels[name] {
        kind = .lossless(level)
      } else {
        slot.logger.warning("OPTIMIZE_LEVEL is '\(name)', taken as auto: it can be fast, default, small or auto")
      }
    }
    func isOn(_ key: String) -> Bool? { job.setting(key).map { !["", "0"].contains($0) } }
    if isOn("USE_PNGQUANT") == true { kind = .quantised }
    if isOn("OPTIMIZE_IMAGES") == false { kind = .none }
    return ImageCompression(
      kind, workers: slot.images,
      quantiser: .init(environment: slot.helperEnvironment, folder: slot.pool.stateFolder), lane: slot.pool.lane,
      logger: slot.logger)
  }

  /// Starts the backend, or goes on with the one there is, and returns when it and everything that served it has ended.
  func execute(_ job: JobInfo, _ backend: Backend, _ uploader: ResultUploader, _ journal: JobJournal) async {
    let tree = await tree(backend.processes)
    let limit = await remainingTime(JobLimits(job, settings: slot.settings).execution, journal)
    let start = await remainingTime(slot.settings.lock?.expiration ?? .zero, journal)
    let hasEnded = Latch<Void>()
    await withTaskGroup(of: Void.self) { group in
      if let tree { group.addTask { await watch(tree) } }
      group.addTask { if await sleepsFor(limit) { stop.open(with: .timedOut(.execution)) } }
      if let place { group.addTask { if await sleepsFor(start) { place.leave() } } }
      group.addTask { await upload(uploader) }
      group.addTask { await greet(backend.commandServer) }
      group.addTask { await listen(to: backend.commandServer, until: hasEnded) }
      group.addTask { await waitsFor { await live(job, uploader) } }
      tell(.changed(job))
      let reason = (try? await stop.wait()) ?? .quit
      slot.logger.info("Stopping job \(job.id) from \(webUI.address): \(reason.name)")
      group.addTask { await decide(journal) }
      group.addTask { await tellUploading(job.id) }
      if let tree { await end(tree, backend.commandServer, reason) }
      hasEnded.open(with: ())
    }
    if Task.isCancelled { return }
    // Only now: until the reason is on record, the supervisor alone knows how the backend ended.
    await tree?.release()
    if case .ended(let end) = backend.processes { note(await end.clear()) }
  }

  /// Ends the backend of a job that is given up.
  func end(_ backend: Backend, _ job: JobInfo, _ journal: JobJournal) async {
    let tree = await tree(backend.processes)
    let reason = await decide(journal)
    slot.logger.info("Stopping job \(job.id) from \(webUI.address): \(reason.name)")
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await tellUploading(job.id) }
      if let tree { await end(tree, backend.commandServer, reason) }
    }
    if Task.isCancelled { return }
    await tree?.release()
    if case .ended(let end) = backend.processes { note(await end.clear()) }
  }

  /// The backend's processes; nil if they cannot be started or have all ended.
  private func tree(_ processes: Backend.Processes) async -> SupervisedTree? {
    switch processes {
    case .running(let tree): return tree
    case .ended(let end):
      if let exit = end.exit {
        note(exit)
      } else {
        slot.logger.error("The backend's supervisor is gone, and how the backend ended is not known")
        stop.open(with: .died)
      }
    case .gone: stop.open(with: .died)
    case .toStart(let command):
      guard stop.value == nil else { break }
      slot.logger.info("Starting isotovideo")
      slot.log.logger(.test).debug("+++ worker notes +++")
      // The backend appends to the same log: what was logged so far comes first.
      try? await slot.pool.lane.run {}
      do {
        return try await slot.supervisor.start(
          command, output: slot.pool.path.appending("autoinst-log.txt"), folder: slot.pool.stateFolder,
          lock: lock)
      } catch {
        slot.logger.error("isotovideo can not be started: \(error)")
        await noteFaults(thatKeepFromStarting: command)
        stop.open(with: .setupFailure(SetupFailure(.setup, "isotovideo can not be started: \(error)")))
      }
    }
    return nil
  }

  /// Notes the faults of the host because of which a backend cannot be started, if there are any. A missing supervisor is
  /// looked for before each job.
  private func noteFaults(thatKeepFromStarting command: Command) async {
    var faults = [HostFault.unwritablePool]
    if command.executable == Isotovideo.interpreter { faults.append(.noPerl) }
    for fault in faults where await HostProbe(slot: slot).problem(of: fault) != nil { await noteFault(fault) }
  }

  /// What is left of a limit that has run since the backend was started, by whichever process.
  private func remainingTime(_ limit: Duration, _ journal: JobJournal) async -> Duration {
    let now = Boot.time
    return max(.zero, limit - Duration(boundedSeconds: now - (await journal.record.startedAt ?? now)))
  }

  private func watch(_ tree: SupervisedTree) async {
    do { note(try await tree.exit()) } catch is CancellationError {
    } catch {
      slot.logger.error("\(error)")
      stop.open(with: .died)
    }
  }

  private func note(_ exit: ProcessExit) {
    slot.log.logger(.test).info("Isotovideo exit status: \(exit)")
    stop.open(with: exit.isSuccess ? .done : .died)
  }

  private func note(_ end: TreeEnd) {
    guard case .survivors(let processes) = end else { return }
    for process in processes { slot.logger.error("A process of the job cannot be ended: \(process)") }
  }

  /// Ends the backend and all that it has started.
  private func end(_ tree: SupervisedTree, _ server: CommandServer, _ reason: StopReason) async {
    let hasEnded = reason == .done || reason == .died
    await withTaskGroup(of: Void.self) { group in
      if !hasEnded { await announce(reason, to: server, in: &group) }
      // What a backend leaves behind that has ended by itself gets no time.
      do { note(try await tree.stopUnlessCancelled(grace: hasEnded ? .zero : JobRun.grace)) } catch {
        slot.logger.warning("The backend of the job is still being ended; its supervisor goes on with that")
      }
      group.cancelAll()
    }
  }

  /// Tells those who listen to the command server that the test is being stopped, and returns when they know or it has had
  /// its time to answer: developer mode hears of it before the backend does, but SIGTERM waits for nobody.
  private func announce(_ reason: StopReason, to server: CommandServer, in group: inout TaskGroup<Void>) async {
    let isOver = Latch<Void>()
    group.addTask { [slot] in
      do { try await server.announceStop(reason: reason.name) } catch is CancellationError {
      } catch {
        slot.logger.debug("the backend was not told that it is stopped: \(error)")
      }
      isOver.open(with: ())
    }
    await withTaskGroup(of: Void.self) { race in
      race.addTask { _ = try? await isOver.wait() }
      race.addTask { [slot] in try? await slot.clock.sleep(for: JobRun.announcementLead) }
      await race.next()
      race.cancelAll()
    }
  }

  /// Passes over the results until the job stops; the last one begun is finished. What a pass finds is uploaded beside the
  /// next ones: a web UI that is slow with files hears of results all the same.
  private func upload(_ uploader: ResultUploader) async {
    let passes = Observed(0)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await deliver(after: passes, uploader) }
      var wish = 0
      repeat {
        wish = wishes.value
        do {
          try await uploader.tell()
          passes.change { $0 += 1 }
        } catch let error as UploadError {
          switch error.code {
          case .status:
            // A web UI that is away has not given the job up.
            if await session.isAway {
              slot.logger.warning("Results wait for \(webUI.address), which is away: \(error)")
            } else {
              stop.open(with: .apiFailure(error.description))
            }
          case .noTestsScheduled: stop.open(with: .other(error.description))
          case .artefacts, .asset: break
          }
        } catch {
          slot.logger.warning("results are not uploaded now: \(error)")
        }
      } while await isPassDue(after: wish)
    }
  }

  /// Uploads what passes find, until the job stops; what fails is left to the next one.
  private func deliver(after passes: Observed<Int>, _ uploader: ResultUploader) async {
    var seen = 0
    while await waitsFor({ [seen] in _ = try? await passes.wait { $0 != seen } }) {
      seen = passes.value
      do { try await uploader.deliver(while: { stop.value == nil }) } catch is UploadError, is CancellationError {
        // The uploader has said so.
      } catch {
        slot.logger.warning("results are not uploaded now: \(error)")
      }
    }
  }

  /// Waits for the command server to come up, to say so, and says as well when that takes long.
  private func greet(_ server: CommandServer) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await expect(server) }
      group.addTask {
        let limit = slot.settings.backendStartLimit
        guard await sleepsFor(limit), commandServerIsUp.value == nil else { return }
        commandServerIsLate.open(with: ())
        slot.log.logger(.both).warning(
          """
          The backend's command server (\(server.url)) has not answered within BACKEND_START_LIMIT (\(limit)): the backend \
          still fetches test code, or hangs in its start
          """)
      }
      await group.next()
      if commandServerIsUp.value != nil { group.cancelAll() }
    }
  }

  private func expect(_ server: CommandServer) async {
    while await sleepsFor(.milliseconds(500)) {
      guard let version = try? await server.version() else { continue }
      // While the backend starts, this request can get the answer to another one.
      commandServerIsUp.open(with: ())
      slot.logger.info(
        "The backend's command server is up\(version.isotovideo.isEmpty ? "" : ": version \(version.isotovideo)")")
      return
    }
  }
}
