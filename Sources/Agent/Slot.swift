import Configuration
import Engines
import Glibc
import Live
import Logging
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import Transport
import WebUIClient
import WebUISession

/// One slot of a host: takes jobs from its web UIs, one at a time.
///
/// ``SlotState`` decides, ``WebUISession`` talks, ``JobRun`` runs the job; the slot lets each hear of the others.
package actor Slot {
  /// What whoever runs the host wants of a slot.
  package enum Command: Sendable, Hashable {
    /// End, and the job with it.
    case stop
    /// End without waiting for the job's end.
    case kill
    /// End when the jobs in hand have ended; without one, end to begin anew.
    case finish
  }

  /// Why a slot has ended.
  package enum End: Sendable, Hashable {
    case asked
    /// No web UI takes this worker.
    case noWebUI
    /// Asked to begin anew.
    case reloading
  }

  private enum Happening: Sendable {
    /// A session waits until this has been handled.
    case session(Int, WebUISession.Event, Latch<Void>)
    case command(Command)
    /// An event of the current job.
    case job(SlotState.Event)
    case jobEnded(isSuccess: Bool)
    /// Time to look again at what is in the way of jobs.
    case lookDue
    /// The same, since that may have been gone in a moment.
    case recheckDue
    /// The end of a look, and the obstacle that it has found.
    case looked(Obstacle?)
    /// Another agent uses the pool: its process id, empty if that is not known.
    case poolTaken(by: String)
    /// No other agent uses the pool, or it cannot be used at all: it is searched for a job.
    case poolFound
    /// The job that an earlier process has left, if there is one.
    case searched(PastJob?)
    /// Asks whether the mailbox is looked into.
    case errand(@Sendable () -> Void)
  }

  /// The longest wait of a slot that ends, for a disk or for a web UI to hear of it.
  private static let farewell = Duration.milliseconds(500)

  private let context: SlotContext
  private let availability: Availability
  private let sessions: [WebUISession]
  /// The parameters of the registration with each web UI.
  private var registration: WorkerRegistration
  private let logger: Logger
  /// The mailbox. What comes from outside has its place in it: one event of each web UI, whose session waits meanwhile.
  private let inbox: AsyncStream<Happening>
  private let outbox: AsyncStream<Happening>.Continuation
  private var state: SlotState
  /// The web UIs that have been asked to take this worker.
  private var tried: Set<Int> = []
  private var stopJob: Latch<StopReason>?
  /// Of the current job.
  private var journal: JobJournal?
  /// Who looks on while the current job runs.
  private var audience: Observed<Audience>?
  /// Who uses the pool instead of this slot.
  private var poolHolder: String?
  /// What is in the way now is to be looked at again soon.
  private var isRecheckDue = false
  private var hasRegistered = false
  /// Whether it is not yet known if there is a job to end.
  private var isSearching = true
  /// Commands that came meanwhile.
  private var heldCommands: [Command] = []

  init(_ context: SlotContext, registration: WorkerRegistration) {
    self.context = context
    availability = Availability(context, interfaceVersion: registration.isotovideoInterfaceVersion)
    self.registration = registration
    logger = context.logger
    let timing = WebUISession.Timing(
      connectInterval: context.settings.connectInterval, statusInterval: context.settings.statusInterval,
      clock: context.clock)
    sessions = context.settings.webUIs.map { webUI in
      let logger = context.log.logger(webUI: "\(webUI.address)")
      let client = WebUIClient(
        webUI.address, credentials: webUI.credentials, http: context.http, retry: webUI.retry,
        uploads: context.uploads(to: webUI).budget,
        logger: logger, clock: context.clock)
      return WebUISession(
        client, webSockets: context.webSockets, registration: registration, timing: timing, logger: logger)
    }
    state = SlotState(
      webUIs: context.settings.webUIs.map(\.address.entry), endsAfterJobs: context.settings.terminatesAfterJobs)
    (inbox, outbox) = AsyncStream.makeStream()
  }

  /// Lives until it is told to end, or no web UI takes the worker any more.
  package func run(_ commands: AsyncStream<Command>) async -> End {
    // Discarding, since tasks are added as long as the slot lives: any other group keeps each one that has ended.
    await withDiscardingTaskGroup { group in
      group.addTask { [outbox] in
        for await command in commands { outbox.yield(.command(command)) }
      }
      group.addTask { await self.waitForPool() }
      for await happening in inbox {
        if case .searched(let past?) = happening { await goOn(with: past, in: &group) }
        let isKilled = if case .command(.kill) = happening { true } else { false }
        // There is no later, and nobody waits for one thing after the other.
        async let isNoted: Void = isKilled ? noteAskedEnd(limit: Slot.farewell) : ()
        for event in await events(for: happening) { await handle(event, in: &group) }
        // What is not awaited is cancelled here, and the process could end before the disk has it.
        await isNoted
        switch happening {
        // A job that is not found now is left to the next process.
        case .command where isSearching:
          group.addTask { [outbox, context] in
            try? await context.clock.sleep(for: Slot.farewell)
            outbox.yield(.searched(nil))
          }
        case .command(.stop): group.addTask { await self.noteAskedEnd() }
        case .looked: await register(in: &group)
        case .session(_, _, let isHandled): isHandled.open(with: ())
        default: break
        }
        context.report(condition)
        if state.phase == .ended { break }
        recheckSoon(in: &group)
      }
      group.cancelAll()
    }
    if state.isReloading { return .reloading }
    return state.hasWebUI ? .asked : .noWebUI
  }

  private func handle(_ event: SlotState.Event, in group: inout DiscardingTaskGroup) async {
    let actions = state.handle(event)
    await publish()
    for action in actions { await perform(action, in: &group) }
  }

  /// Lets each session know what its web UI is to see of the slot.
  private func publish() async {
    for (index, session) in sessions.enumerated() {
      await session.update(status: state.status, pending: state.pending(for: index))
    }
  }

  /// Goes on with the job that an earlier process of this slot has left, and registers.
  private func goOn(with past: PastJob, in group: inout DiscardingTaskGroup) async {
    let job = past.record.prepared ?? past.record.grabbed
    state = SlotState(
      webUIs: context.settings.webUIs.map(\.address.entry), endsAfterJobs: context.settings.terminatesAfterJobs,
      current: (job, past.record.rest, past.webUI))
    // Before it registers: a web UI gives up jobs that a registration does not name.
    await publish()
    await start(past.record, found: past.found, webUI: past.webUI, in: &group)
    if heldCommands.contains(.stop) { group.addTask { await self.noteAskedEnd() } }
    await register(in: &group)
  }

  /// Registers, once it is known what the slot is at; and again when isotovideo could be asked for its version, which web UIs
  /// have not got until then.
  private func register(in group: inout DiscardingTaskGroup) async {
    let version = await availability.interfaceVersion
    let isNew = registration.isotovideoInterfaceVersion != version
    registration.isotovideoInterfaceVersion = version
    if hasRegistered {
      for session in sessions where isNew { group.addTask { [registration] in await session.renew(registration) } }
      return
    }
    hasRegistered = true
    for (index, session) in sessions.enumerated() {
      // It has no connection yet: nothing is waited for.
      if isNew { await session.renew(registration) }
      group.addTask { [outbox] in
        await session.run { event in
          let isHandled = Latch<Void>()
          outbox.yield(.session(index, event, isHandled))
          // Cancelled when the slot has ended.
          try? await isHandled.wait()
        }
      }
    }
    group.addTask { await self.watchAvailability() }
  }

  private func start(
    _ record: JobRecord, found: Supervisor.Finding = .none, webUI: Int, in group: inout DiscardingTaskGroup
  ) async {
    let stop = Latch<StopReason>()
    stopJob = stop
    let journal = JobJournal(record.taken(by: Int64(getpid())), pool: context.pool, logger: logger)
    self.journal = journal
    let audience = Observed(record.audience)
    self.audience = audience
    group.addTask { [self, outbox, context] in
      // A job that kills its agent may do so as soon as it is touched.
      if !record.holders.isEmpty { await journal.update { _ in } }
      let run = JobRun(
        slot: context, session: sessions[webUI], client: await sessions[webUI].client,
        webUI: context.settings.webUIs[webUI], takenAs: record.workerID, stop: stop, lock: await availability.lock,
        place: record.skipReason == nil ? await availability.takePlace() : nil, audience: audience,
        tell: { outbox.yield(.job($0.event(webUI: webUI))) }, noteFault: { await self.availability.note($0) })
      outbox.yield(.jobEnded(isSuccess: await run.run(journal, found: found)))
    }
  }

  private func start(
    _ job: JobInfo, rest: JobQueue, skipReason: SkipReason? = nil, webUI: Int, in group: inout DiscardingTaskGroup
  ) async {
    // A web UI that has not been there since the slot began has given the job to an earlier process of it.
    var known = await sessions[webUI].workerID
    if known == nil { known = await journal?.record.workerID }
    guard let workerID = known else {
      outbox.yield(.jobEnded(isSuccess: false))
      return
    }
    var record = JobRecord(webUI: name(webUI), workerID: workerID, grabbed: job, bootID: Boot.id)
    record.rest = rest
    record.skipReason = skipReason
    await start(record, webUI: webUI, in: &group)
  }

  /// Lets the slot run `body` when it comes to it: whether it does tells whether the slot goes on.
  nonisolated func submit(_ body: @escaping @Sendable () -> Void) { outbox.yield(.errand(body)) }

  /// Notes on the job's record that this process ends as it was asked to, or hands over: the job is not blamed for that.
  func noteAskedEnd(limit: Duration = .seconds(2)) async { await journal?.update(limit: limit) { $0.note(.asked) } }

  private var condition: SlotCondition {
    SlotCondition(
      isRegistered: tried.count == sessions.count, poolHolder: poolHolder, phase: state.phase,
      isStopping: state.isStopping,
      unavailability: state.obstacle?.text)
  }

  /// What a happening means to ``SlotState``.
  private func events(for happening: Happening) async -> [SlotState.Event] {
    switch happening {
    case .session(let webUI, .connected, _):
      tried.insert(webUI)
      return []
    case .session(let webUI, .message(let message), _):
      return switch message {
      case .grabJob(let job): [.grab(job, webUI: webUI)]
      case .grabJobs(let sequence): [.grabSequence(sequence, webUI: webUI)]
      case .command(let command, let job): [.command(command, job: job, webUI: webUI)]
      case .incompatible, .info, .answer: []
      }
    case .session(let webUI, .disabled, _):
      tried.insert(webUI)
      return [.disabled(webUI: webUI)]
    case .session(let webUI, .lost, _):
      tried.insert(webUI)
      return []
    case .session(_, .malformed, _): return []
    case .poolTaken(let holder):
      (poolHolder, isSearching) = (holder, false)
      return events(of: heldCommands)
    case .poolFound:
      (poolHolder, isSearching) = (nil, true)
      return []
    case .searched(let past):
      isSearching = false
      return (past == nil ? [.lookDue] : []) + events(of: heldCommands)
    case .errand(let body):
      body()
      return []
    case .command(let command):
      if isSearching, command != .kill {
        heldCommands.append(command)
        return []
      }
      return events(of: [command])
    case .lookDue: return [.lookDue]
    case .recheckDue:
      isRecheckDue = false
      return [.lookDue]
    case .looked(let obstacle): return [.looked(obstacle)]
    case .job(let event): return [event]
    case .jobEnded(let isSuccess):
      stopJob = nil
      audience = nil
      await availability.noteJob()
      return [.jobEnded(isSuccess: isSuccess)]
    }
  }

  private func events(of commands: [Command]) -> [SlotState.Event] {
    commands.map {
      switch $0 {
      case .stop: .stop
      case .kill: .kill
      case .finish: .finish
      }
    }
  }

  private func perform(_ action: SlotState.Action, in group: inout DiscardingTaskGroup) async {
    switch action {
    case .look(let isTaking):
      group.addTask { [availability, outbox] in outbox.yield(.looked(await availability.obstacle(isTaking: isTaking))) }
    case .start(let job, let rest, let webUI): await start(job, rest: rest, webUI: webUI, in: &group)
    case .skip(let job, let rest, let reason, let webUI):
      await start(job, rest: rest, skipReason: reason, webUI: webUI, in: &group)
    case .recordQueue(let queue):
      await journal?.note { $0.rest = queue }
      group.addTask { [journal] in await journal?.save() }
    case .reject(let jobs, let reason, let webUI):
      logger.warning(
        "Refusing to grab job \(jobs.map(String.init).joined(separator: ", ")) from \(name(webUI)): \(reason)")
      group.addTask { [sessions] in await sessions[webUI].reject(jobs: jobs, reason: reason) }
    case .stopJob(let reason): stopJob?.open(with: reason)
    case .abandonJob: logger.warning("Not waiting for the job's end")
    case .tellJob(let command): audience?.change { $0.note(command) }
    case .warn(let text): logger.warning("\(text)")
    case .sendStatus(let webUI):
      for (index, session) in sessions.enumerated() where webUI == nil || webUI == index {
        group.addTask { await session.sendStatus() }
      }
    case .release(let job, let webUI): group.addTask { [sessions] in await sessions[webUI].release(job: job) }
    case .end:
      // One web UI that is silent does not keep the others waiting.
      await withTaskGroup(of: Void.self) { group in
        for session in sessions { group.addTask { await session.quit(within: Slot.farewell) } }
      }
    }
  }

  /// The job that an earlier process of this slot has left.
  private func findPastJob() async -> PastJob? {
    let names = context.settings.webUIs.map(\.address.entry)
    guard await availability.hasAgentLock, var past = await PastJob.find(in: context, webUIs: names) else { return nil }
    past.record.giveUpIfDeadly(delivered: JobRun.Step.delivered)
    if case .workerDied(let times) = past.record.reason {
      logger.error("Giving job \(past.record.grabbed.id) up: \(times) workers died within a minute of taking it")
    }
    await availability.adopt(past.lock)
    return past
  }

  private func name(_ webUI: Int) -> String { context.settings.webUIs[webUI].address.entry }

  // MARK: The pool

  /// Waits for the end of another agent on this pool. That one has registered as the same worker: if this one did, too,
  /// the web UI would take a job of the other for lost.
  private func waitForPool() async {
    var isTold = false
    while await isTaken() {
      if !isTold {
        let holder = try? await context.pool.read(".supervisor/agent.lock")
        let pid = String(decoding: (holder ?? nil) ?? [], as: UTF8.self).trimmed
        logger.warning("Waiting for another worker-agent to leave \(context.pool.path): it is running with PID \(pid)")
        outbox.yield(.poolTaken(by: pid))
      }
      isTold = true
      do { try await context.clock.sleep(for: .seconds(1)) } catch { return }
    }
    outbox.yield(.poolFound)
    outbox.yield(.searched(await findPastJob()))
  }

  private func isTaken() async -> Bool {
    do { try await availability.holdAgentLock() } catch let failure as PoolFailure {
      return failure.isHeldByAnother
    } catch {}
    return false
  }

  private func watchAvailability() async {
    while (try? await context.clock.sleep(for: context.recheck.regular)) != nil { outbox.yield(.lookDue) }
  }

  /// Does not wait for the next regular look at an obstacle that may be gone in a moment.
  private func recheckSoon(in group: inout DiscardingTaskGroup) {
    guard state.phase == .idle, state.obstacle?.isEphemeral == true, !isRecheckDue else { return }
    isRecheckDue = true
    group.addTask { [outbox, context] in
      do { try await context.clock.sleep(for: context.recheck.ephemeral) } catch { return }
      outbox.yield(.recheckDue)
    }
  }
}
