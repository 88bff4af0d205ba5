package import Support
package import SystemPackage

/// All that is configured for one slot. Nothing in it changes while the slot lives.
package struct Settings: Sendable, Hashable {
  /// The slot's number on this host, from 1.
  package var instance: Int
  /// The web UIs to take jobs from.
  package var webUIs: [WebUI]
  /// Comma-separated; nil unless configured.
  package var workerClass: String?
  /// How web UIs reach this host; nil unless configured.
  package var workerHostname: String?
  /// Replaces the machine's own architecture; nil unless configured.
  package var architecture: String?
  package var logLevel: LogLevel
  package var isotovideo: FilePath?
  /// Leave the pool directory as it is between jobs.
  package var keepsPool: Bool
  package var paths: Paths
  package var retry: Retry
  /// The period of worker_status is random in between.
  package var statusInterval: ClosedRange<Duration>
  /// Wait between attempts to register.
  package var connectInterval: Duration
  /// What is laid over each job's settings, names in upper case: every key of workers.ini but HOST.
  package var jobSettings: [String: JSON]
  /// What was odd in the configuration, for the log.
  package var warnings: [String]

  /// One web UI.
  package struct WebUI: Sendable, Hashable {
    package var address: WebUIAddress
    /// None are needed where the server runs without authentication.
    package var credentials: Credentials?
    /// SHARE_DIRECTORY of this web UI's section.
    package var shareDirectory: FilePath?
  }

  /// Severities of the log, worst last.
  package enum LogLevel: String, Sendable, Hashable, CaseIterable, Comparable {
    case trace, debug, info, warn, error, fatal

    package static func < (left: LogLevel, right: LogLevel) -> Bool {
      left.severity < right.severity
    }

    private var severity: Int { LogLevel.allCases.firstIndex(of: self) ?? 0 }
  }

  /// How REST calls are repeated (protocol §2).
  package struct Retry: Sendable, Hashable {
    /// Tries of one call.
    package var tries: Int
    package var delay: Duration
    /// The wait after an answer that means 'busy'.
    package var delayIfBusy: Duration

    package init(tries: Int = 60, delay: Duration = .seconds(5), delayIfBusy: Duration = .seconds(60)) {
      self.tries = tries
      self.delay = delay
      self.delayIfBusy = delayIfBusy
    }
  }

  /// Where this host keeps what openQA works with.
  package struct Paths: Sendable, Hashable {
    /// PRJDIR.
    package var project: FilePath

    package init(project: FilePath) { self.project = project }

    /// The pool directory of a slot.
    package func pool(instance: Int) -> FilePath { project.appending("pool").appending(String(instance)) }
    /// The share that is used unless a web UI has its own.
    package var share: FilePath { project.appending("share") }
  }

  /// The backend's command server listens on the port after this one.
  package var qemuPort: Int { 20002 + 10 * instance }
  /// The display number of the guest's VNC server.
  package var vncDisplay: Int { 90 + instance }
  package var pool: FilePath { paths.pool(instance: instance) }
}
