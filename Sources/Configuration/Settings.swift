package import Support
package import SystemPackage

/// All that is configured for one slot (protocol §1). Nothing in it changes while the slot lives.
package struct Settings: Sendable, Hashable {
  /// The slot's number on this host, from 1.
  package var instance: Int
  /// The web UIs to take jobs from; at least one, none twice.
  package var webUIs: [WebUI]
  /// Comma-separated; nil unless configured.
  package var workerClass: String?
  /// How web UIs reach this host; nil unless configured.
  package var workerHostname: String?
  /// Replaces the machine's own architecture; nil unless configured.
  package var architecture: String?
  package var logLevel: LogLevel
  /// Where the log goes instead of standard output.
  package var logDirectory: FilePath?
  /// The log's file, in ``logDirectory`` if there is one.
  package var logFile: FilePath?
  package var isotovideo: FilePath?
  /// Leave the pool directory as it is between jobs.
  package var keepsPool: Bool
  package var paths: Paths
  /// Nil without CACHEDIRECTORY: assets and tests come from the share.
  package var cache: Cache?
  package var upload: Upload
  package var retry: Retry
  /// The period of worker_status is random in between.
  package var statusInterval: ClosedRange<Duration>
  /// Wait between attempts to register.
  package var connectInterval: Duration
  /// How often a web UI is told that a job is accepted, if there is no connection, before the job is given up.
  package var acceptAttempts: Int
  /// Ends when the assigned jobs are done.
  package var terminatesAfterJobs: Bool
  /// How long a running backend waits for a worker to come back before it is stopped.
  package var orphanLimit: Duration
  /// How long a backend may take until its command server answers before that is reported.
  package var backendStartLimit: Duration
  /// The most screens a second that live viewers get.
  package var liveFrameRate: Double
  /// A shell command that lists what is installed.
  package var packagesCommand: String?
  /// The load average that keeps new jobs off; nil for none.
  package var criticalLoad: Double?
  /// Bytes: with less space for the pool, no jobs are taken; nil for no such limit.
  package var minimumFreeSpace: Int64?
  /// What to read load averages from.
  package var loadAverageFile: FilePath
  /// Nil without LOCK_NAME: job starts are not throttled.
  package var lock: Lock?
  /// Passed on in the registration, as written.
  package var parallelOneHostOnly: String?
  /// Nil without IPMI_HOSTNAME.
  package var ipmi: IPMI?
  /// How the D-Bus service of the virtual switch is called in what the worker says of it.
  package var virtualSwitchService: String
  /// The parent of jobs' control groups; nil for what the system suggests.
  package var cgroupSlice: String?
  /// What is laid over each job's settings, names in upper case: every key of workers.ini but HOST. Texts, but for the
  /// defaults, which are numbers.
  package var jobSettings: [String: JSON]
  /// What was odd in the configuration, for the log. No secrets are in it.
  package var warnings: [String]
  /// Every ``Key`` in order, and then the keys that only jobs know, with what counts and where it comes from.
  package var items: [Item]
  /// The files that were read, the later laid over the earlier.
  package var files: [FilePath]

  /// The backend's command server listens on the port after this one.
  package var qemuPort: Int { 20002 + 10 * instance }
  /// The display number of the guest's VNC server.
  package var vncDisplay: Int { 90 + instance }
  package var pool: FilePath { paths.pool(instance: instance) }

  /// The file to log to; nil for standard output.
  /// - Parameter nodeName: this host's name, since a directory can be shared.
  package func logFile(nodeName: String) -> FilePath? {
    guard let logDirectory else { return logFile }
    return logDirectory.pushing(logFile ?? FilePath("\(nodeName)-\(instance).log"))
  }
}
