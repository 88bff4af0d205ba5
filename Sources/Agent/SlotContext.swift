import Configuration
import Engines
import Logging
import ProcessTree
import Support
import Transport

/// What a slot lends to the jobs that it runs.
struct SlotContext: Sendable {
  var settings: Settings
  var facts: HostFacts
  /// How web UIs reach this host.
  var workerHostname: String
  var pool: Pool
  /// Each share is read on a lane of its own.
  var shareLane: IOLane
  /// Where the cache is read; the share's lane without a cache.
  var cacheLane: IOLane
  var http: HTTPClient
  var log: SlotLog
  var isotovideo: Isotovideo
  /// Starts what jobs run.
  var supervisor: Supervisor
  /// The agent's own, which backends get, with the mark of this pool.
  var environment: [String: String]
  var clock: any Clock<Duration> & Sendable
  /// Hears what the slot is at, after all that happens to it.
  var report: @Sendable (SlotCondition) -> Void = { _ in }

  var logger: Logger { log.logger() }

  /// The variable by whose value a process tells which pool it was started for.
  static let poolMark = "WORKER_AGENT_POOL"
}
