import AssetCache
import Configuration
import Engines
import Logging
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage

/// Finds out what keeps a slot from taking jobs (protocol §4), and holds what keeps others from its pool.
///
/// To be asked between jobs: what runs on the pool then is left of one.
actor Availability {
  /// How long files may keep the slot from hearing of anything else.
  private static let limit = Duration.seconds(10)

  private let context: SlotContext
  /// Keeps other agents from this pool, and of ours the one that was here before.
  private var agentLock: FileLock?
  /// Keeps all other workers from this pool.
  private(set) var lock: FileLock?
  /// A job has run since leftovers of jobs were looked for.
  private var mayHaveLeftovers = true
  /// For the job that is about to start.
  private var place: StartPlace?
  /// The faults that have failed jobs, each until its probe finds it gone.
  private var faults: Set<HostFault> = []
  /// What could not be found out the last time, and has been logged.
  private var unknown: Set<String> = []

  /// The version of isotovideo's interface; nil until isotovideo could be asked for it.
  private(set) var interfaceVersion: Int?

  init(_ context: SlotContext, interfaceVersion: Int?) {
    self.context = context
    self.interfaceVersion = interfaceVersion
  }

  /// What keeps this slot from taking jobs; nil if nothing does.
  /// - Parameter isTaking: whether a job is there to be taken: then a place is taken for it, for ``takePlace()``.
  func obstacle(isTaking: Bool = false) async -> Obstacle? {
    place = nil
    var condition = HostCondition()
    // Each is looked at only if nothing is in the way so far.
    if let cache = context.settings.cache {
      condition.cacheProblem = await CacheService(
        cache, http: context.http, logger: context.logger, clock: context.clock
      ).availability()
    }
    if condition.obstacle == nil { await lookAtPool(&condition) }
    if condition.obstacle == nil { await lookAtFaults(&condition) }
    if condition.obstacle == nil { await lookAtHost(&condition) }
    if condition.obstacle == nil { await lookForPlace(&condition, isTaking: isTaking) }
    for problem in condition.unknown.subtracting(unknown).sorted() { context.logger.warning("\(problem)") }
    unknown = condition.unknown
    return condition.obstacle
  }

  /// The place among starting jobs for the one that starts now: what ``obstacle(isTaking:)`` has taken, or else a free
  /// one. Nil without a limit, or when there is none for a job that is run all the same: a queued one, or one that runs.
  func takePlace() async -> StartPlace? {
    defer { place = nil }
    if let place { return place }
    return try? await context.startLimit?.take()
  }

  /// A job has run: something may be left of it.
  func noteJob() { mayHaveLeftovers = true }

  /// A fault of the host has failed a job, or would fail the next one: no job is taken before it is gone.
  func note(_ fault: HostFault) { faults.insert(fault) }

  /// Takes over the pool's lock, which the supervisor of an earlier process's job has held.
  func adopt(_ lock: FileLock?) { self.lock = lock }

  /// Keeps other agents from this pool.
  /// - Throws: `PoolFailure`, `IOLane.TimedOut`.
  func holdAgentLock() async throws {
    if agentLock == nil { agentLock = try await context.pool.lockForAgent() }
  }

  /// Whether this agent keeps others from the pool.
  var hasAgentLock: Bool { agentLock != nil }

  // MARK: Questions

  private func lookAtPool(_ condition: inout HostCondition) async {
    let pool = context.pool
    if pool.isBeingCleaned {
      // Whatever else is asked of the pool would have to wait for it.
      condition.faults[.uncleanPool] = HostProbe.isBeingCleaned(pool)
      return
    }
    do {
      try await holdAgentLock()
      condition.leftover = try await endLeftovers()
      if condition.leftover != nil { return }
      condition.qemu = try await pool.runningQEMU()
      if lock == nil { lock = try await pool.lock() }
      if condition.qemu == nil, !context.settings.keepsPool { try await pool.removeStalePID() }
    } catch {
      condition.poolProblem = "\(error)"
    }
  }

  private func lookAtFaults(_ condition: inout HostCondition) async {
    let probe = HostProbe(slot: context)
    for fault in faults {
      if let problem = await probe.problem(of: fault) {
        condition.faults[fault] = problem
      } else {
        faults.remove(fault)
      }
    }
  }

  private func lookAtHost(_ condition: inout HostCondition) async {
    let (settings, pool, supervisor) = (context.settings, context.pool, context.supervisor)
    do {
      _ = try await pool.lane.run(limit: Availability.limit) { try supervisor.findProgram() }
    } catch {
      condition.programProblem = "\(error)"
    }
    if interfaceVersion == nil, settings.jobsNeedIsotovideo {
      do {
        interfaceVersion = try await context.isotovideo.interfaceVersion(
          environment: context.helperEnvironment, pool: pool)
      } catch {
        condition.programProblem = condition.programProblem ?? "\(error)"
      }
    }
    condition.hasAddress = !context.workerHostname.isEmpty
    if settings.hasClass("tap") {
      do {
        if try await !VirtualSwitch.isRunning(environment: context.helperEnvironment) {
          condition.missingService = settings.virtualSwitchService
        }
      } catch {
        condition.missingService = settings.virtualSwitchService
        condition.unknown.insert("Whether \(VirtualSwitch.name) is running cannot be asked: \(error)")
      }
    }
    if let critical = settings.criticalLoad {
      condition.criticalLoad = critical
      let file = settings.loadAverageFile
      do {
        let text = try await pool.lane.run(limit: Availability.limit) { try Files.read(file, limit: 1 << 12) }
        condition.load = text.flatMap { LoadAverage(String(decoding: $0, as: UTF8.self)) }
        if condition.load == nil { condition.unknown.insert("Unable to determine average load: none is in \(file)") }
      } catch {
        condition.unknown.insert("Unable to determine average load: \(error)")
      }
    }
    if let minimum = settings.minimumFreeSpace {
      do {
        let free = try await pool.lane.run(limit: Availability.limit) { try Files.freeSpace(at: pool.path) }
        if free < minimum {
          condition.lackOfSpace = .init(path: pool.path.string, free: free, minimum: minimum)
        }
      } catch {
        condition.unknown.insert("Unable to determine free space: \(error)")
      }
    }
  }

  private func lookForPlace(_ condition: inout HostCondition, isTaking: Bool) async {
    guard let limit = context.startLimit else { return }
    do {
      if isTaking { place = try await limit.take() } else { try await limit.check() }
    } catch {
      condition.limit = error
    }
  }

  /// Ends what was started for a job of this pool and is still there.
  /// - Returns: what cannot be ended.
  private func endLeftovers() async throws -> String? {
    guard mayHaveLeftovers else { return nil }
    let mark = context.mark
    for process in try await context.pool.lane.run({ Leftovers.find(mark: mark) }) {
      context.logger.warning("Ending what is left of a job: \(process)")
    }
    if case .survivors(let processes) = await Leftovers.end(mark: mark) { return processes.first?.description }
    mayHaveLeftovers = false
    return nil
  }
}

extension Settings {
  /// Whether jobs are run by the isotovideo of this host, as far as the worker's settings say: no other is configured for all.
  fileprivate var jobsNeedIsotovideo: Bool {
    ["ISOTOVIDEO", "OS_AUTOINST_GIT_REPO", "OS_AUTOINST_CONTAINER_IMAGE"].allSatisfy {
      jobSettings[$0]?.isTruthy != true
    }
  }

  /// Whether the slot is configured to be of a class.
  fileprivate func hasClass(_ name: String) -> Bool {
    (workerClass ?? "").split(separator: ",").contains { $0.trimmed == name }
  }
}
