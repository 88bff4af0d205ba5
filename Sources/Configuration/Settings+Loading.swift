import Support
package import SystemPackage

extension Settings {
  /// Puts a slot's settings together from files, environment and command line (protocol §1).
  ///
  /// What cannot be used is replaced by its default or left out, and named in ``warnings``.
  /// - Parameters:
  ///   - read: the text of a file, or nil if there is no such file. What it throws becomes a warning.
  ///   - list: the names in a directory, for drop-ins; the same holds for what it throws.
  ///   - directory: the folder that relative paths are in, an absolute path.
  /// - Throws: ``ConfigurationError`` if there is no web UI to work for.
  package init(
    options: CommandLineOptions, environment: [String: String], read: @escaping (FilePath) throws -> String?,
    list: @escaping (FilePath) throws -> [String] = { _ in [] }, directory: FilePath = "/"
  ) throws(ConfigurationError) {
    var files = ConfigurationFiles(environment: environment, read: read, list: list)
    let workers = files.workers()
    let clients = files.clients()
    var reader = SettingsReader(environment: environment, directory: directory)
    reader.warnings = files.warnings
    for section in workers.sections {
      if let problem = SectionName.problem(section.name) { reader.warnings.append("\(section.place): \(problem)") }
    }
    reader.lay(workers["global"])
    for section in workers.sections where SectionName.names(section.name, instance: options.instance) {
      reader.lay(section.entries)
    }
    for name in (reader.values["WORKER_CLASS"]?.text ?? "").split(separator: ",") {
      reader.lay(workers["class:\(name.trimmed)"], fillsIn: true)
    }
    reader.warnOfSimilarKeys(others: WebUI.keys)
    // These two reach jobs from the environment as well.
    for (key, name) in [
      (Key.logDirectory, "OPENQA_WORKER_LOG_DIR"), (.terminatesAfterJobs, "OPENQA_WORKER_TERMINATE_AFTER_JOBS_DONE"),
    ] {
      reader.override(key, with: environment[name], from: .environment(name))
    }
    if options.isVerbose { reader.override(.logLevel, with: "debug", from: .flag("--verbose")) }
    reader.override(.hosts, with: options.hosts?.trimmed, from: .flag("--host"))

    instance = options.instance
    isotovideo = options.isotovideo.map { directory.pushing(FilePath($0)) }
    keepsPool = options.keepsPool
    self.files = files.paths
    let hosts = reader.text(.hosts) ?? ""
    let hostOrigins = reader.items.last?.origins ?? []
    reader.remove(.hosts)
    workerClass = reader.text(.workerClass)
    workerHostname = reader.text(.workerHostname)
    architecture = reader.text(.architecture)
    logLevel = reader.logLevel()
    logDirectory = reader.path(.logDirectory)
    // It can be meant to be in the directory for log files.
    logFile = reader.text(.logFile).map { FilePath($0) }
    paths = Paths(project: (reader.path(.baseDirectory) ?? "/var/lib").appending("openqa"))
    cache = Cache(&reader)
    upload = Upload(&reader)
    archive = Archive(&reader, pools: paths.project.appending("pool"))
    let retry = Retry(&reader)
    self.retry = retry
    let bounds = 1.0...86400
    let interval = (reader.seconds(.statusMinimum, in: bounds), reader.seconds(.statusMaximum, in: bounds))
    statusInterval = min(interval.0, interval.1)...max(interval.0, interval.1)
    connectInterval = reader.seconds(.connectInterval)
    acceptAttempts = reader.count(.acceptAttempts)
    terminatesAfterJobs = reader.flag(.terminatesAfterJobs)
    orphanLimit = reader.seconds(.orphanLimit, in: 1...1e9)
    backendStartLimit = reader.seconds(.backendStartLimit, in: 0.1...1e9)
    liveFrameRate = reader.number(.liveFrameRate, in: 0.1...60)
    packagesCommand = reader.text(.packagesCommand)
    let load = reader.number(.criticalLoad)
    criticalLoad = load == 0 ? nil : load
    let space = reader.number(.minimumFreeSpace)
    minimumFreeSpace = space == 0 ? nil : Int64(saturating: space * Double(1 << 30))
    loadAverageFile = reader.path(.loadAverageFile) ?? ""
    lock = Lock(&reader, directory: cache?.directory ?? paths.project.appending("cache"))
    parallelOneHostOnly = reader.text(.parallelOneHostOnly)
    ipmi = IPMI(&reader)
    virtualSwitchService = reader.text(.virtualSwitchService) ?? ""
    cgroupSlice = reader.text(.cgroupSlice)
    jobSettings = reader.jobSettings
    items = reader.sortedItems
    var warnings = reader.warnings
    let sources = WebUISources(
      options: options, environment: environment, workers: workers, clients: clients, retry: retry, directory: directory
    )
    webUIs = try sources.webUIs(hosts, from: hostOrigins, warnings: &warnings)
    self.warnings = warnings
  }
}

extension Settings.Cache {
  /// All keys are taken, whether or not there is a cache, so that they are shown and checked.
  fileprivate init?(_ reader: inout SettingsReader) {
    let directory = reader.path(.cacheDirectory)
    self.init(directory: directory ?? "")
    limit = Int64(saturating: reader.number(.cacheLimit, in: 0...1e6) * Double(1 << 30))
    minimumFree = reader.optionalNumber(.cacheMinimumFree, in: 0...100)
    workers = reader.count(.cacheWorkers, in: 1...1000)
    let port = reader.count(.basePort, in: 1...65531) + 4
    serviceURL = reader.text(.cacheServiceURL, standard: "http://127.0.0.1:\(port)") ?? ""
    maximumInactiveJobs = reader.count(.cacheMaximumInactiveJobs, in: -1...1e9)
    pollDelay = reader.seconds(.cachePollDelay)
    tries = reader.count(.cacheTries)
    retryDelay = reader.seconds(.cacheRetryDelay)
    syncTries = reader.count(.cacheSyncTries)
    if directory == nil { return nil }
  }
}

extension Settings.Upload {
  fileprivate init(_ reader: inout SettingsReader) {
    isLocal = reader.flag(.localUpload)
    chunkSize = reader.count(.uploadChunkSize)
    tries = reader.count(.uploadTries)
    delay = reader.seconds(.uploadDelay)
    concurrency = reader.count(.uploadConcurrency, in: 1...64)
    hold = reader.seconds(.uploadHold)
  }
}

extension Settings.Archive {
  fileprivate init(_ reader: inout SettingsReader, pools: FilePath) {
    directory = reader.path(.archiveDirectory) ?? pools.appending("archive")
    limit = Int64(saturating: reader.number(.archiveLimit, in: 0...1e6) * Double(1 << 30))
    maximumAge = Duration(boundedSeconds: reader.number(.archiveAge, in: 0...1e5) * 86400)
  }
}

extension Settings.Retry {
  fileprivate init(_ reader: inout SettingsReader) {
    self.init(
      tries: reader.count(.retries), delay: reader.seconds(.retryDelay), delayIfBusy: reader.seconds(.retryDelayIfBusy))
  }
}

extension Settings.Lock {
  fileprivate init?(_ reader: inout SettingsReader, directory: FilePath) {
    limit = reader.count(.lockLimit)
    expiration = reader.seconds(.lockExpiration)
    self.directory = directory
    guard let name = reader.text(.lockName) else { return nil }
    self.name = name
  }
}

extension Settings.IPMI {
  fileprivate init?(_ reader: inout SettingsReader) {
    user = reader.text(.ipmiUser)
    password = reader.text(.ipmiPassword)
    options = reader.text(.ipmiOptions) ?? ""
    let interval = reader.seconds(.ipmiAutoShutdown)
    autoShutdownInterval = interval == .zero ? nil : interval
    guard let hostname = reader.text(.ipmiHostname) else { return nil }
    self.hostname = hostname
  }
}
