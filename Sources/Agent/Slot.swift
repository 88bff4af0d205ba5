import Configuration
import Engines
import Logging
import OpenQAProtocol
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
    /// End when the job has ended.
    case finish
  }

  /// Why a slot has ended.
  package enum End: Sendable, Hashable {
    case asked
    /// No web UI takes this worker.
    case noWebUI
  }

  private enum Happening: Sendable {
    case session(Int, WebUISession.Event)
    case command(Command)
    case jobEnding
    case jobEnded
    case availability(String?)
    /// Asks whether the mailbox is looked into.
    case errand(@Sendable () -> Void)
  }

  /// How long an obstacle stays before it is looked at again.
  private static let availabilityInterval = Duration.seconds(60)

  private let context: SlotContext
  private let sessions: [WebUISession]
  private let logger: Logger
  private let inbox: AsyncStream<Happening>
  private let outbox: AsyncStream<Happening>.Continuation
  private var state: SlotState
  private var workerIDs: [Int: Int64] = [:]
  /// The web UIs that have been asked to take this worker.
  private var tried: Set<Int> = []
  private var stopJob: Latch<StopReason>?
  private var lock: FileLock?

  init(_ context: SlotContext, registration: WorkerRegistration, webSockets: WebSocketClient) {
    self.context = context
    logger = context.logger
    let timing = WebUISession.Timing(
      connectInterval: context.settings.connectInterval, statusInterval: context.settings.statusInterval,
      clock: context.clock)
    sessions = context.settings.webUIs.map { webUI in
      let logger = context.log.logger(webUI: "\(webUI.address)")
      let client = WebUIClient(
        webUI.address, credentials: webUI.credentials, http: context.http, retry: webUI.retry, logger: logger,
        clock: context.clock)
      return WebUISession(
        client, webSockets: webSockets, registration: registration, timing: timing, logger: logger)
    }
    state = SlotState(webUIs: context.settings.webUIs.map(\.address.entry))
    (inbox, outbox) = AsyncStream.makeStream()
  }

  /// Lives until it is told to end, or no web UI takes the worker any more.
  package func run(_ commands: AsyncStream<Command>) async -> End {
    for action in state.handle(.availability(await obstacle())) { await perform(action) }
    await withTaskGroup(of: Void.self) { group in
      for (index, session) in sessions.enumerated() {
        group.addTask { await session.run() }
        group.addTask { [outbox] in
          for await event in session.events { outbox.yield(.session(index, event)) }
        }
      }
      group.addTask { [outbox] in
        for await command in commands { outbox.yield(.command(command)) }
      }
      group.addTask { await self.watchAvailability() }
      for await happening in inbox {
        defer { context.report(condition) }
        guard let event = await event(for: happening) else { continue }
        for action in state.handle(event) {
          if case .start(let job, let webUI) = action {
            if let run = await makeRun(webUI) {
              group.addTask { [outbox] in
                _ = await run.run(job)
                outbox.yield(.jobEnded)
              }
            }
          } else {
            await perform(action)
          }
        }
        if state.phase == .ended { break }
      }
      group.cancelAll()
    }
    return state.hasWebUI ? .asked : .noWebUI
  }

  /// Lets the slot run `body` when it comes to it: whether it does tells whether the slot goes on.
  nonisolated func submit(_ body: @escaping @Sendable () -> Void) { outbox.yield(.errand(body)) }

  private var condition: SlotCondition {
    SlotCondition(
      isRegistered: tried.count == sessions.count, phase: state.phase, isStopping: state.isStopping,
      unavailability: state.unavailability)
  }

  private func event(for happening: Happening) async -> SlotState.Event? {
    switch happening {
    case .session(let webUI, .connected(let workerID)):
      workerIDs[webUI] = workerID
      tried.insert(webUI)
      return nil
    case .session(let webUI, .message(let message)):
      return switch message {
      case .grabJob(let job): .grab(job, webUI: webUI)
      case .grabJobs(let sequence): .grabSequence(sequence.jobs.keys.sorted(), webUI: webUI)
      case .command(let command, let job): .command(command, job: job, webUI: webUI)
      case .incompatible: .incompatible(webUI: webUI)
      case .info, .answer: nil
      }
    case .session(let webUI, .disabled):
      tried.insert(webUI)
      return .disabled(webUI: webUI)
    case .session(let webUI, .lost):
      tried.insert(webUI)
      return nil
    case .session(_, .malformed): return nil
    case .errand(let body):
      body()
      return nil
    case .command(.stop): return .stop
    case .command(.kill): return .kill
    case .command(.finish): return .finish
    case .availability(let obstacle): return .availability(obstacle)
    case .jobEnding: return .jobEnding
    case .jobEnded:
      stopJob = nil
      for action in state.handle(.availability(await obstacle())) { await perform(action) }
      return .jobEnded
    }
  }

  private func perform(_ action: SlotState.Action) async {
    switch action {
    case .start: break
    case .reject(let jobs, let reason, let webUI):
      logger.warning(
        "Refusing to grab job \(jobs.map(String.init).joined(separator: ", ")) from \(name(webUI)): \(reason)")
      await sessions[webUI].reject(jobs: jobs, reason: reason)
    case .stopJob(let reason): stopJob?.open(with: reason)
    case .abandonJob: logger.warning("Not waiting for the job's end")
    case .tellJob(let command): logger.debug("Nothing is done about \(command.rawValue)")
    case .warn(let text): logger.warning("\(text)")
    case .showStatus(let isUrgent):
      let status = state.unavailability.map { WorkerStatus.broken(reason: $0) } ?? .free
      if let reason = state.unavailability { logger.warning("\(reason)") }
      for session in sessions {
        await session.update(status: status, jobs: [])
        if isUrgent { await session.sendStatus() }
      }
    case .end:
      for session in sessions { await session.quit() }
    }
  }

  private func makeRun(_ webUI: Int) async -> JobRun? {
    guard let workerID = workerIDs[webUI] else { return nil }
    let stop = Latch<StopReason>()
    stopJob = stop
    return JobRun(
      slot: context, session: sessions[webUI], client: await sessions[webUI].client,
      webUI: context.settings.webUIs[webUI], workerID: workerID, stop: stop,
      isEnding: { [outbox] in outbox.yield(.jobEnding) })
  }

  private func name(_ webUI: Int) -> String { context.settings.webUIs[webUI].address.entry }

  // MARK: Availability

  private func watchAvailability() async {
    while (try? await context.clock.sleep(for: Slot.availabilityInterval)) != nil {
      if state.phase == .idle { outbox.yield(.availability(await obstacle())) }
    }
  }

  /// What keeps this slot from taking jobs, with what to do about it; nil if nothing does (protocol §4).
  private func obstacle() async -> String? {
    do {
      if lock == nil { lock = try await context.pool.lock() }
      if let pid = try await context.pool.runningQEMU() {
        return "A QEMU instance using this pool is still running (PID: \(pid)): stop it"
      }
    } catch {
      return "Unable to lock pool directory: \(error)"
    }
    return context.workerHostname.isEmpty ? "Unable to determine worker address (WORKER_HOSTNAME)" : nil
  }
}
