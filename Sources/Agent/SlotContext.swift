import Configuration
import Engines
import Logging
import PNGOptimizer
import ProcessTree
import Support
import SystemPackage
import Transport
import WebUIClient

/// What a slot lends to the jobs that it runs.
struct SlotContext: Sendable {
  var settings: Settings
  var facts: HostFacts
  /// How web UIs reach this host.
  var workerHostname: String
  var pool: Pool
  /// Each share is read on a lane of its own.
  var shareLane: IOLane
  /// Shares that this process has seen with something in them.
  var filledShares: Guarded<Set<FilePath>>
  /// Where the cache is read; the share's lane without a cache.
  var cacheLane: IOLane
  var http: HTTPClient
  var webSockets: WebSocketClient
  /// The host's.
  var watcher: FileWatcher
  /// The host's.
  var images: ImageWorkers
  /// What all slots of the host share, by the web UI's origin.
  var uploads: [String: SharedUploads]
  var log: SlotLog
  var isotovideo: Isotovideo
  /// Starts what jobs run.
  var supervisor: Supervisor
  /// The agent's own, which backends get, with the mark of this pool.
  var environment: [String: String]
  var clock: any Clock<Duration> & Sendable
  /// The throttle of job starts; nil for none.
  var startLimit: StartLimit?
  /// How often the slot looks at what keeps it from taking jobs.
  var recheck = RecheckIntervals()
  /// Hears what the slot is at, after all that happens to it.
  var report: @Sendable (SlotCondition) -> Void = { _ in }

  var logger: Logger { log.logger() }

  /// What the slots of the host share of their uploads to a web UI.
  func uploads(to webUI: Settings.WebUI) -> SharedUploads {
    uploads[webUI.address.origin] ?? SharedUploads(budget: UploadBudget(settings.upload.concurrency))
  }

  /// What programs get that are no part of a job: without the pool's mark, so that they are not taken for one.
  var helperEnvironment: [String: String] { SlotContext.helperEnvironment(environment) }

  static func helperEnvironment(_ environment: [String: String]) -> [String: String] {
    environment.filter { $0.key != poolMark }
  }

  /// The variable by whose value a process tells which pool it was started for.
  static let poolMark = "WORKER_AGENT_POOL"

  /// The entry of the environment that all processes of this slot's jobs have.
  var mark: String { "\(SlotContext.poolMark)=\(pool.path)" }
}

/// How often a slot looks again at what keeps it from taking jobs (protocol §4).
package struct RecheckIntervals: Sendable {
  package var regular = Duration.seconds(60)
  /// While the obstacle is one that may be gone in a moment.
  package var ephemeral = Duration.seconds(10)

  package init() {}
}
