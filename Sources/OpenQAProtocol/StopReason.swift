/// Why a job stops (protocol §7).
package enum StopReason: Sendable, Hashable {
  /// The backend ended by itself with exit status 0.
  case done
  /// The backend ended by itself in any other way.
  case died
  case timedOut(Limit)
  case setupFailure(SetupFailure)
  /// The web UI could not be told or asked something that matters; its last error, if there is one.
  case apiFailure(String?)
  case cancelled
  case obsoleted
  /// The web UI does not want to hear of this job any more.
  case aborted
  /// The worker stops, or the web UI told the job to.
  case quit
  /// This host cannot run jobs.
  case workerBroken(String)
  /// So many processes of the worker died with the job, one after the other.
  case workerDied(times: Int)
  /// An earlier process of the worker has left the job, and this one cannot go on with it: why.
  case lost(String)
  /// Any other reason, in its own words.
  case other(String)

  /// A limit on a job's life.
  package enum Limit: Sendable, Hashable {
    case setup
    case execution
  }

  /// The reason's word in the job's log and in the broadcast to the backend.
  package var name: String {
    switch self {
    case .done: "done"
    case .died: "died"
    case .timedOut: "timeout"
    case .setupFailure: "setup failure"
    case .apiFailure: "api-failure"
    case .cancelled: "cancel"
    case .obsoleted: "obsolete"
    case .aborted: "abort"
    case .quit: "quit"
    case .workerBroken: "worker broken"
    case .workerDied: "worker died"
    case .lost: "lost"
    case .other(let text): text
    }
  }

  /// Whether the logs are uploaded after such a stop.
  package var uploadsLogs: Bool {
    switch self {
    case .quit, .aborted, .apiFailure: false
    // The logs are worth one more try.
    case .workerDied(let times): times <= 3
    default: true
    }
  }

  /// Whether the web UI is asked to run the job again after such a stop, for which nobody but the worker is to blame.
  package var isRunAgain: Bool {
    switch self {
    case .quit, .lost: true
    default: false
    }
  }

  /// Whether assets that the test made are uploaded after such a stop.
  package var uploadsAssets: Bool { self == .done || self == .cancelled }

  /// The reason for a web UI's command.
  package init?(command: JobCommand) {
    switch command {
    case .cancel: self = .cancelled
    case .obsolete: self = .obsoleted
    case .abort: self = .aborted
    case .quit: self = .quit
    case .startLiveLog, .stopLiveLog, .startDeveloperSession: return nil
    }
  }
}

/// Why a job could not be set up.
package struct SetupFailure: Error, Sendable, Hashable, CustomStringConvertible {
  /// What kind of thing failed; web UIs match its text.
  package enum Category: String, Sendable, Hashable {
    case asset = "asset failure"
    case cache = "cache failure"
    case setup = "setup failure"
  }

  package var category: Category
  /// What failed, as it is shown to users.
  package var message: String
  /// The fault of the host behind it; `nil` if the next job may fare better.
  package var fault: HostFault?

  package init(_ category: Category, _ message: String, fault: HostFault? = nil) {
    self.category = category
    self.message = message
    self.fault = fault
  }

  package var description: String { "\(category.rawValue): \(message)" }
}
