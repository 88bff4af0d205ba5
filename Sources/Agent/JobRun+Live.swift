import CommandServerClient
import Configuration
import Engines
import Live
import OpenQAProtocol
import Support
import SystemPackage
import Upload
import WebUISession

/// What a job does for those who look on.
extension JobRun {
  /// From the end of one pass over the results to the next, while somebody looks on.
  static let livePeriod = Duration.seconds(1)

  /// How long the end of a job waits for its log's last lines to reach viewers.
  static let lastLook = Duration.seconds(2)

  /// What viewers of the job get until its end is told.
  func makeLiveView(_ job: JobInfo, _ server: CommandServer, _ journal: JobJournal) async -> LiveView {
    let status: @Sendable () async -> LiveStatus = {
      LiveStatus(workerID: await workerID(), commandServerURL: server.url, workerHostname: slot.workerHostname)
    }
    let channel = LiveChannel(
      job: job.id, status: status, client: client, pool: slot.pool.path, lane: slot.pool.lane, watcher: slot.watcher,
      frameRate: slot.settings.liveFrameRate, clock: slot.clock, logger: slot.logger)
    return LiveView(channel, from: await journal.record.liveOffsets)
  }

  /// Serves developers of a running job until it stops, and looks at its results when somebody wants to see them.
  func live(_ job: JobInfo, _ uploader: ResultUploader) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await wishForViewers() }
      group.addTask { await wishForStatus() }
      group.addTask {
        // Its web UI says where the live handler is.
        _ = try? await session.comesBack()
        let developers = DeveloperSession(
          job: job.id, client: client, portDelta: await session.servicePortDelta, logger: slot.logger)
        await developers.run(audience, uploader.progress)
      }
    }
  }

  /// Keeps on record who looks on, for a worker that may have to go on with the job.
  func recordAudience(_ journal: JobJournal, known: Audience) async {
    var known = known
    while let audience = try? await audience.wait(until: { $0 != known }) {
      known = audience
      await journal.update { $0.audience = audience }
    }
  }

  /// Waits until the results are to be looked at again; false if the job stops.
  /// - Parameter wish: the last one that has been followed.
  func isPassDue(after wish: Int) async -> Bool {
    let period = audience.value.viewers > 0 ? JobRun.livePeriod : JobRun.period
    return await waitsFor { [wishes, clock = slot.clock] in
      await withTaskGroup(of: Void.self) { group in
        group.addTask { _ = try? await wishes.wait { $0 != wish } }
        group.addTask { try? await clock.sleep(for: period) }
        await group.next()
        group.cancelAll()
      }
    }
  }

  private func wish() { wishes.change { $0 += 1 } }

  /// Who comes gets the results at once, and does not wait for the longer period.
  private func wishForViewers() async {
    var known = 0
    while let audience = try? await audience.wait(until: { $0.viewers != known }) {
      if audience.viewers > known { wish() }
      known = audience.viewers
    }
  }

  /// Results are looked at when the backend says that it is at another module, or paused.
  private func wishForStatus() async {
    let (watcher, pool) = (slot.watcher, slot.pool.path)
    guard let watch = try? await slot.pool.lane.run({ try watcher.watch(pool, for: .movedIn) }) else { return }
    for await event in watch {
      switch event {
      case .look: wish()
      case .changed(let files): if files["autoinst-status.json"] != nil { wish() }
      case .gone, .unavailable: break
      }
    }
  }

  /// Listens to the backend until its end: a listener that leaves while it is told of the stop could keep that waiting.
  func listen(to server: CommandServer, until end: Latch<Void>) async {
    let feed = CommandServerFeed(
      url: server.url, webSockets: slot.webSockets, clock: slot.clock, logger: slot.logger)
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        if await !waitsFor({ _ = try? await commandServerIsUp.wait() }) { return }
        await feed.follow { event in
          switch event {
          case .connected, .paused, .resumed, .module: wish()
          case .function: break
          }
        }
      }
      _ = try? await end.wait()
      group.cancelAll()
    }
  }
}
