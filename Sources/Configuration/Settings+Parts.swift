package import SystemPackage

extension Settings {
  /// One web UI.
  package struct WebUI: Sendable, Hashable {
    package var address: WebUIAddress
    /// None are needed where the server runs without authentication.
    package var credentials: Credentials?
    /// SHARE_DIRECTORY of this web UI's section.
    package var shareDirectory: FilePath?
    /// TESTPOOLSERVER of this web UI's section: where rsync gets the tests from.
    package var testPoolServer: String?
    /// ``Settings/retry`` with what this web UI's section says of it.
    package var retry: Retry
    /// What is configured for this web UI alone, to show to people.
    package var items: [Item]

    /// The keys that its section can have.
    package static let keys = ["SHARE_DIRECTORY", "TESTPOOLSERVER", "RETRY_DELAY", "RETRY_DELAY_IF_WEBUI_BUSY"]
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
    /// How long nothing may move in a try.
    package var inactivity: Duration
    /// What all tries of a call may take together, unless ``tries`` and the waits between them need more.
    package var patience: Duration

    package init(
      tries: Int = 60, delay: Duration = .seconds(5), delayIfBusy: Duration = .seconds(60),
      inactivity: Duration = .seconds(600), patience: Duration = .seconds(3600)
    ) {
      self.tries = tries
      self.delay = delay
      self.delayIfBusy = delayIfBusy
      self.inactivity = inactivity
      self.patience = patience
    }

    /// What all tries of a call may take together. By default that is the hour that a web UI has for its maintenance; one
    /// that takes calls and answers none would otherwise hold a job's end for ten.
    package var limit: Duration { max(patience, max(delay, delayIfBusy) * tries) }
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

  /// The asset cache and its service (protocol §9).
  package struct Cache: Sendable, Hashable {
    package var directory: FilePath
    /// Bytes.
    package var limit: Int64
    /// Percent of the file system that stay free; nil for no such limit.
    package var minimumFree: Double?
    /// Downloads at a time.
    package var workers: Int
    /// Where its service listens.
    package var serviceURL: String
    /// With more jobs than that waiting in the service, the slot takes none; a negative number for any.
    package var maximumInactiveJobs: Int
    /// The longest wait between questions for the state of a download.
    package var pollDelay: Duration
    /// How often the service is asked in a job's set-up while it does not answer.
    package var tries: Int
    /// Wait between two such tries.
    package var retryDelay: Duration
    /// How often test code is fetched before its failure counts.
    package var syncTries: Int

    /// A cache in `directory`, all else as by default.
    package init(directory: FilePath) {
      self.directory = directory
      limit = 50 << 30
      workers = 5
      serviceURL = "http://127.0.0.1:9530"
      maximumInactiveJobs = 5
      pollDelay = .seconds(5)
      tries = 60
      retryDelay = .seconds(5)
      syncTries = 3
    }
  }

  /// How files go to a web UI (protocol §6 to §8).
  package struct Upload: Sendable, Hashable {
    /// A web UI on this host gets a path instead of the content.
    package var isLocal: Bool
    /// Bytes.
    package var chunkSize: Int
    /// Tries of one chunk.
    package var tries: Int
    /// Wait after the first failed try.
    package var delay: Duration
    /// Files that go to one web UI at a time, from all slots of the host.
    package var concurrency = 4
    /// How long the results of a job that has ended wait for a web UI that is away.
    package var hold = Duration.seconds(3600)

    package init(isLocal: Bool = true, chunkSize: Int = 10_000_000, tries: Int = 10, delay: Duration = .seconds(5)) {
      self.isLocal = isLocal
      self.chunkSize = chunkSize
      self.tries = tries
      self.delay = delay
    }
  }

  /// Where results are kept that no web UI has taken.
  package struct Archive: Sendable, Hashable {
    package var directory: FilePath
    /// Bytes; 0 keeps nothing.
    package var limit: Int64
    package var maximumAge: Duration

    package init(directory: FilePath, limit: Int64, maximumAge: Duration) {
      self.directory = directory
      self.limit = limit
      self.maximumAge = maximumAge
    }
  }

  /// The throttle of job starts on this host (protocol §4).
  package struct Lock: Sendable, Hashable {
    package var name: String
    /// Jobs that may start at the same time.
    package var limit: Int
    /// How long a start counts, from the start of the backend.
    package var expiration: Duration
    /// Where the slots of this host share it.
    package var directory: FilePath

    package init(name: String, limit: Int = 5, expiration: Duration = .seconds(30), directory: FilePath) {
      self.name = name
      self.limit = limit
      self.expiration = expiration
      self.directory = directory
    }
  }

  /// The machine that jobs of this slot run on, if it is switched by IPMI.
  package struct IPMI: Sendable, Hashable, CustomStringConvertible {
    package var hostname: String
    package var user: String?
    package var password: String?
    /// Of ipmitool, separated by blanks.
    package var options: String
    /// While the slot is idle, the machine is switched off that often; nil for never.
    package var autoShutdownInterval: Duration?

    package init(
      hostname: String, user: String? = nil, password: String? = nil, options: String = "-I lanplus",
      autoShutdownInterval: Duration? = .seconds(300)
    ) {
      self.hostname = hostname
      self.user = user
      self.password = password
      self.options = options
      self.autoShutdownInterval = autoShutdownInterval
    }

    /// Without the password: a secret never reaches a log.
    package var description: String { "\(user.map { "\($0)@" } ?? "")\(hostname)" }
  }
}
