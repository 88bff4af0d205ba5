extension Settings {
  /// What can be configured and means something to this program (protocol §1.2). All else in workers.ini is the jobs'.
  package enum Key: String, Sendable, Hashable, CaseIterable {
    case hosts = "HOST"
    case workerClass = "WORKER_CLASS"
    case workerHostname = "WORKER_HOSTNAME"
    case architecture = "ARCH"
    case logLevel = "LOG_LEVEL"
    case logDirectory = "LOG_DIR"
    case cacheDirectory = "CACHEDIRECTORY"
    case cacheLimit = "CACHELIMIT"
    case cacheMinimumFree = "CACHE_MIN_FREE_PERCENTAGE"
    case cacheWorkers = "CACHEWORKERS"
    case cacheServiceURL = "CACHESERVICEURL"
    case localUpload = "LOCAL_UPLOAD"
    case uploadChunkSize = "UPLOAD_CHUNK_SIZE"
    case uploadTries = "UPLOAD_RETRIES"
    case retries = "RETRIES"
    case retryDelay = "RETRY_DELAY"
    case retryDelayIfBusy = "RETRY_DELAY_IF_WEBUI_BUSY"
    case statusMinimum = "STATUS_MIN_INTERVAL"
    case statusMaximum = "STATUS_MAX_INTERVAL"
    case terminatesAfterJobs = "TERMINATE_AFTER_JOBS_DONE"
    case orphanLimit = "ORPHAN_LIMIT"
    case backendStartLimit = "BACKEND_START_LIMIT"
    case liveFrameRate = "LIVE_FPS"
    case packagesCommand = "PACKAGES_CMD"
    case criticalLoad = "CRITICAL_LOAD_AVG_THRESHOLD"
    case minimumFreeSpace = "POOL_MIN_FREE_GB"
    case lockName = "LOCK_NAME"
    case lockLimit = "LOCK_LIMIT"
    case lockExpiration = "LOCK_EXPIRATION"
    case parallelOneHostOnly = "PARALLEL_ONE_HOST_ONLY"
    case ipmiHostname = "IPMI_HOSTNAME"
    case ipmiUser = "IPMI_USER"
    case ipmiPassword = "IPMI_PASSWORD"
    case ipmiOptions = "IPMI_OPTIONS"
    case ipmiAutoShutdown = "IPMI_AUTOSHUTDOWN_INTERVAL"

    // What only the environment says.
    case baseDirectory = "OPENQA_BASEDIR"
    case basePort = "OPENQA_BASE_PORT"
    case logFile = "OPENQA_LOGFILE"
    case connectInterval = "OPENQA_WORKER_CONNECT_INTERVAL"
    case acceptAttempts = "OPENQA_WORKER_ACCEPT_ATTEMPTS"
    case uploadDelay = "OPENQA_UPLOAD_DELAY"
    case cacheMaximumInactiveJobs = "OPENQA_CACHE_MAX_INACTIVE_JOBS"
    case cachePollDelay = "OPENQA_CACHE_SERVICE_POLL_DELAY"
    case cacheTries = "OPENQA_CACHE_ATTEMPTS"
    case cacheRetryDelay = "OPENQA_CACHE_ATTEMPT_SLEEP_TIME"
    case cacheSyncTries = "OPENQA_CACHE_SERVICE_TEST_SYNC_ATTEMPTS"
    case loadAverageFile = "OPENQA_LOAD_AVG_FILE"
    case virtualSwitchService = "OVS_DBUS_SERVICE_NAME"
    case cgroupSlice = "OPENQA_CGROUP_SLICE"

    /// Whether it is a key of workers.ini rather than a variable of the environment.
    package var isInFile: Bool { !rawValue.hasPrefix("OPENQA_") && self != .virtualSwitchService }

    /// The variable of the environment that wins over the files.
    package var environmentVariable: String? {
      switch self {
      case .logDirectory: "OPENQA_WORKER_LOG_DIR"
      case .retries: "OPENQA_WORKER_CONNECT_RETRIES"
      case .terminatesAfterJobs: "OPENQA_WORKER_TERMINATE_AFTER_JOBS_DONE"
      default: isInFile ? nil : rawValue
      }
    }

    /// What counts if nothing is configured, as one would write it; nil if that is nothing, or found out on the host.
    package var standard: String? {
      switch self {
      case .hosts: "localhost"
      case .logLevel: "info"
      case .cacheLimit: "50"
      case .cacheWorkers: "5"
      case .cacheServiceURL: "http://127.0.0.1:9530"
      case .localUpload: "1"
      case .uploadChunkSize: "10000000"
      case .uploadTries: "10"
      case .retries: "60"
      case .retryDelay: "5"
      case .retryDelayIfBusy: "60"
      case .statusMinimum: "60"
      case .statusMaximum: "300"
      case .terminatesAfterJobs: "0"
      case .orphanLimit: "900"
      case .backendStartLimit: "60"
      case .liveFrameRate: "10"
      case .criticalLoad: "40"
      case .minimumFreeSpace: "1"
      case .lockLimit: "5"
      case .lockExpiration: "30"
      case .ipmiOptions: "-I lanplus"
      case .ipmiAutoShutdown: "300"
      case .baseDirectory: "/var/lib"
      case .basePort: "9526"
      case .connectInterval: "10"
      case .acceptAttempts: "10"
      case .uploadDelay: "5"
      case .cacheMaximumInactiveJobs: "5"
      case .cachePollDelay: "5"
      case .cacheTries: "60"
      case .cacheRetryDelay: "5"
      case .cacheSyncTries: "3"
      case .loadAverageFile: "/proc/loadavg"
      case .virtualSwitchService: "org.opensuse.os_autoinst.switch"
      case .workerClass, .workerHostname, .architecture, .logDirectory, .cacheDirectory, .cacheMinimumFree,
        .packagesCommand, .lockName, .parallelOneHostOnly, .ipmiHostname, .ipmiUser, .ipmiPassword, .logFile,
        .cgroupSlice:
        nil
      }
    }
  }
}
