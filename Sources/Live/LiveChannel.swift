package import Logging
package import OpenQAProtocol
package import Support
package import SystemPackage
import Transport
package import WebUIClient

/// What all parts of a job's live view share: where its files are, and the way to the web UI.
package struct LiveChannel: Sendable {
  /// The longest wait after posts that failed.
  private static let longestWait = Duration.seconds(10)
  /// What a post may take.
  private static let limit = Duration.seconds(60)

  package var job: Int64
  /// What every live status says of the job.
  package var status: @Sendable () async -> LiveStatus
  package var client: WebUIClient
  package var pool: FilePath
  /// The pool's.
  package var lane: IOLane
  package var watcher: FileWatcher
  /// The most screens a second.
  package var frameRate: Double
  package var clock: any Clock<Duration> & Sendable
  package var logger: Logger
  /// From one look to the next at what nothing tells changes of.
  package static let period = Duration.seconds(1)

  package init(
    job: Int64, status: @escaping @Sendable () async -> LiveStatus, client: WebUIClient, pool: FilePath, lane: IOLane,
    watcher: FileWatcher,
    frameRate: Double, clock: any Clock<Duration> & Sendable, logger: Logger
  ) {
    self.job = job
    self.status = status
    self.client = client
    self.pool = pool
    self.lane = lane
    self.watcher = watcher
    self.frameRate = frameRate
    self.clock = clock
    self.logger = logger
  }

  /// Calls `look` first of all and whenever something has happened to one of `names`, until nobody wants it any more, or
  /// nothing comes any more: a look is not interrupted then. It is when the task is cancelled.
  func follow(
    _ names: Set<String>, in folder: FilePath, for kinds: FileChanges, _ looks: Observed<Looks>,
    _ look: () async -> Void
  ) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await FolderLooks(
          watcher: watcher, folder: folder, kinds: kinds, lane: lane, period: LiveChannel.period, clock: clock
        ).note(names, in: looks)
      }
      var seen = 0
      while let now = try? await looks.wait(until: { $0.due != seen || $0.isLast || $0.isOver }), !now.isOver {
        seen = now.due
        await look()
        if now.isLast { break }
      }
      group.cancelAll()
    }
  }

  /// Reads what the web UI is to see, and posts it, again as long as there is something and it does not arrive. What is
  /// read is read anew for each try: nothing old is sent. The last look is not tried again.
  ///
  /// That a post fails never ends the job: the posts of its results tell whether the web UI still wants it.
  /// - Parameters:
  ///   - looks: whether anybody still wants it.
  ///   - read: fills in a status; false if there is nothing to tell. On the pool's lane.
  ///   - taken: is told what has arrived, and returns how long to wait for the next.
  func post(
    _ looks: Observed<Looks>, _ read: @escaping @Sendable (inout LiveStatus) throws -> Bool,
    taken: (LiveStatus) async -> Duration
  ) async {
    var failures = 0
    while !Task.isCancelled, !looks.value.isOver {
      let begin = ContinuousClock.now
      do {
        var wait: Duration
        do {
          guard let status = try await next(read) else { return }
          try await send(status)
          failures = 0
          wait = await taken(status)
        } catch let error as WebUIError {
          if failures == 0 { logger.warning("The live view is interrupted: \(error)") }
          failures += 1
          if looks.value.isLast { return }
          // Bounded: by the shift of at most 10.
          wait = min(.seconds(1 << min(failures - 1, 10)), LiveChannel.longestWait)
        }
        wait -= begin.duration(to: .now)
        if wait > .zero { try await pause(wait, looks) }
      } catch {
        if !(error is CancellationError) { logger.debug("The live view cannot read the pool now: \(error)") }
        return
      }
    }
  }

  /// Waits, unless the end comes first.
  private func pause(_ wait: Duration, _ looks: Observed<Looks>) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await clock.sleep(for: wait) }
      group.addTask { _ = try await looks.wait { $0.isLast || $0.isOver } }
      try await group.next()
      group.cancelAll()
    }
  }

  private func next(_ read: @escaping @Sendable (inout LiveStatus) throws -> Bool) async throws -> LiveStatus? {
    let (status, file) = (await status(), pool.appending("autoinst-status.json"))
    return try await lane.run {
      var status = status
      guard try read(&status) else { return nil }
      let text = try? Files.read(file, limit: 1 << 20)
      status.pauseReason = text.flatMap { try? JSON(parsing: $0) }.flatMap { AutoinstStatus($0).pauseReason }
      return status
    }
  }

  private func send(_ status: LiveStatus) async throws {
    var call = WebUIClient.Call(.post, "jobs/\(job)/status")
    call.body = .bytes(status.body, contentType: "application/json")
    call.expectedMember = "result"
    call.tries = 1
    call.limits.total = LiveChannel.limit
    try await client.send(call)
  }
}
