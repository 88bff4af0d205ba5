import Configuration
import Support
import SystemPackage
import Testing

@Suite("Settings")
struct SettingsTests {
  @Test("later sections override, classes fill in, unknown keys go to the job")
  func layers() throws {
    var fixture = Fixture(
      """
      [global]
      host = http://a:80 b
      WORKER_CLASS = x
      FOO = global ; still foo
      EMPTY =
      [1,3-5]
      WORKER_CLASS += y
      foo = ranged
      [4]
      FOO = four
      [class:y]
      FOO = class
      BAR += class
      EMPTY = class
      [class:z]
      BAR = other
      [b]
      SHARE_DIRECTORY = /b-share
      """)
    let settings = try fixture.settings()
    #expect(settings.webUIs.map(\.address.entry) == ["http://a:80", "b"])
    #expect(settings.webUIs.map(\.shareDirectory) == [nil, "/b-share"])
    #expect(settings.workerClass == "x,y" && settings.warnings.isEmpty)
    #expect(
      settings.jobSettings == [
        "WORKER_CLASS": "x,y", "FOO": "ranged", "BAR": "class", "EMPTY": "", "RETRY_DELAY": 5,
        "RETRY_DELAY_IF_WEBUI_BUSY": 60, "CRITICAL_LOAD_AVG_THRESHOLD": 40,
      ])
    fixture.options.instance = 4
    #expect(try fixture.settings().jobSettings["FOO"] == "four")
    fixture.options.instance = 2
    #expect(try fixture.settings().jobSettings["FOO"] == "global ; still foo")
    #expect(try fixture.settings().workerClass == "x")
  }

  @Test(
    "which slots a section is for",
    arguments: [
      ("3", true), ("1,3", true), ("1-5", true), ("1 , 2 - 4", true), ("3-3", true), (" 3 ", true), ("1,x,3", true),
      ("30", false), ("4-2", false), ("1-2", false), ("-3", false), ("3-", false), ("1-2-3", false), ("", false),
      ("4,5-9", false), ("99999999999999999999-3,3", true),
    ])
  func sections(name: String, isMeant: Bool) throws {
    #expect((try Fixture("[\(name)]\nX = 1\n").settings().jobSettings["X"] != nil) == isMeant)
  }

  @Test("defaults")
  func defaults() throws {
    let settings = try Fixture().settings()
    #expect(settings.webUIs.map(\.address.origin) == ["http://localhost"])
    #expect(settings.webUIs[0].credentials == nil && settings.webUIs[0].retry == settings.retry)
    #expect(settings.pool == "/var/lib/openqa/pool/3")
    #expect(settings.qemuPort == 20032 && settings.vncDisplay == 93)
    #expect(settings.retry == Settings.Retry(tries: 60, delay: .seconds(5), delayIfBusy: .seconds(60)))
    #expect(settings.statusInterval == .seconds(60) ... .seconds(300))
    #expect(settings.connectInterval == .seconds(10) && settings.acceptAttempts == 10)
    #expect(settings.logLevel == .info && settings.logFile(nodeName: "n") == nil)
    #expect(settings.cache == nil && settings.lock == nil && settings.ipmi == nil && !settings.terminatesAfterJobs)
    #expect(settings.upload == Settings.Upload())
    #expect(
      settings.archive
        == .init(directory: "/var/lib/openqa/pool/archive", limit: 1 << 30, maximumAge: .seconds(14 * 86400)))
    #expect(try Fixture("[global]\nCACHEDIRECTORY = /c\n").settings().cache == Settings.Cache(directory: "/c"))
    #expect(try Fixture("[global]\nIPMI_HOSTNAME = h\n").settings().ipmi == Settings.IPMI(hostname: "h"))
    let lock = try Fixture("[global]\nLOCK_NAME = x\n").settings().lock
    #expect(lock == Settings.Lock(name: "x", directory: "/var/lib/openqa/cache"))
    #expect(settings.criticalLoad == 40 && settings.loadAverageFile == "/proc/loadavg")
    #expect(settings.minimumFreeSpace == 1 << 30)
    #expect(settings.workerClass == nil && settings.workerHostname == nil && settings.architecture == nil)
    #expect(settings.packagesCommand == nil && settings.parallelOneHostOnly == nil && settings.cgroupSlice == nil)
    #expect(settings.virtualSwitchService == "org.opensuse.os_autoinst.switch")
    #expect(settings.jobSettings.count == 3 && settings.warnings.isEmpty)
  }

  @Test("every key is taken, in order, with its default")
  func items() throws {
    let settings = try Fixture().settings()
    #expect(settings.items.map(\.key) == Settings.Key.allCases.map(\.rawValue))
    #expect(settings.items.map(\.value) == Settings.Key.allCases.map(\.standard))
    #expect(settings.items.allSatisfy { $0.origins == [.standard] })
  }

  @Test("what the files say")
  func configured() throws {
    let settings = try Fixture(
      """
      [global]
      WORKER_HOSTNAME = h.example
      ARCH = aarch64
      LOG_LEVEL = Warn
      LOG_DIR = /log
      CACHEDIRECTORY = /cache
      CACHELIMIT = 0.5
      CACHE_MIN_FREE_PERCENTAGE = 20
      CACHEWORKERS = 7
      CACHESERVICEURL = http://c:1
      LOCAL_UPLOAD = 0
      UPLOAD_CHUNK_SIZE = 1000
      UPLOAD_RETRIES = 3
      UPLOAD_CONCURRENCY = 9
      UPLOAD_HOLD = 70
      ARCHIVE_DIR = /archive
      ARCHIVE_LIMIT_GB = 0.5
      ARCHIVE_DAYS = 2
      RETRIES = 4
      RETRY_DELAY = 0.5
      RETRY_DELAY_IF_WEBUI_BUSY = 6
      STATUS_MIN_INTERVAL = 90
      STATUS_MAX_INTERVAL = 30
      TERMINATE_AFTER_JOBS_DONE = 1
      ORPHAN_LIMIT = 60
      BACKEND_START_LIMIT = 5
      LIVE_FPS = 2.5
      PACKAGES_CMD = dpkg -l | sort
      CRITICAL_LOAD_AVG_THRESHOLD = 0
      POOL_MIN_FREE_GB = 0
      LOCK_NAME = starts
      LOCK_LIMIT = 2
      LOCK_EXPIRATION = 10
      PARALLEL_ONE_HOST_ONLY = 1
      IPMI_HOSTNAME = sp
      IPMI_USER = u
      IPMI_PASSWORD = p
      IPMI_OPTIONS = -I lan
      IPMI_AUTOSHUTDOWN_INTERVAL = 0
      """
    ).settings()
    #expect(settings.warnings.isEmpty)
    #expect(settings.workerHostname == "h.example" && settings.architecture == "aarch64")
    #expect(settings.logLevel == .warn && settings.logFile(nodeName: "n") == "/log/n-3.log")
    var cache = Settings.Cache(directory: "/cache")
    (cache.limit, cache.minimumFree, cache.workers, cache.serviceURL) = (1 << 29, 20, 7, "http://c:1")
    #expect(settings.cache == cache)
    var upload = Settings.Upload(isLocal: false, chunkSize: 1000, tries: 3, delay: .seconds(5))
    (upload.concurrency, upload.hold) = (9, .seconds(70))
    #expect(settings.upload == upload)
    #expect(
      settings.archive == .init(directory: "/archive", limit: 1 << 29, maximumAge: .seconds(2 * 86400)))
    #expect(settings.retry == Settings.Retry(tries: 4, delay: .milliseconds(500), delayIfBusy: .seconds(6)))
    #expect(settings.statusInterval == .seconds(30) ... .seconds(90))
    #expect(settings.terminatesAfterJobs && settings.packagesCommand == "dpkg -l | sort")
    #expect(settings.orphanLimit == .seconds(60) && settings.backendStartLimit == .seconds(5))
    #expect(settings.liveFrameRate == 2.5)
    #expect(settings.criticalLoad == nil && settings.parallelOneHostOnly == "1" && settings.minimumFreeSpace == nil)
    #expect(
      settings.lock == Settings.Lock(name: "starts", limit: 2, expiration: .seconds(10), directory: "/cache"))
    #expect(
      settings.ipmi
        == Settings.IPMI(hostname: "sp", user: "u", password: "p", options: "-I lan", autoShutdownInterval: nil))
    #expect(settings.jobSettings.count == Settings.Key.allCases.count(where: \.isInFile) - 2)
    #expect(settings.jobSettings["RETRY_DELAY"] == "0.5")
  }

  @Test(
    "an unknown key that looks like a known one is warned of, and goes to jobs all the same",
    arguments: [
      ("WORKER_CLAS", "WORKER_CLASS"), ("workerclass", "WORKER_CLASS"), ("WROKER_CLAS", "WORKER_CLASS"),
      ("CACHE_DIRECTORY", "CACHEDIRECTORY"), ("HOTS", "HOST"), ("LOG_LEVLE", "LOG_LEVEL"),
      ("SHAREDIRECTORY", "SHARE_DIRECTORY"), ("RETRIS", "RETRIES"), ("RETRY", nil), ("TEST", nil), ("ISOTOVIDEO", nil),
      ("WORKER_ID", nil), ("QEMUPORT", nil), ("IPMI_BACKEND_MC_RESET", nil), ("LOG", nil), ("", nil),
      (String(repeating: "WORKER_CLASS", count: 10), nil),
    ])
  func similarKeys(key: String, similar: String?) throws {
    let settings = try Fixture("[global]\nX = 1\n[3]\n\(key) = x\n").settings()
    let place = "/etc/openqa/workers.ini:4 [3]: \(key.uppercased())"
    let warnings = settings.warnings.filter { $0.contains("did you mean") }
    let expected = similar.map { "\(place): did you mean \($0)? As it is, it is only a setting of jobs" }
    #expect(warnings == [expected].compactMap { $0 })
    if !key.isEmpty { #expect(settings.jobSettings[key.uppercased()] == "x") }
  }

  @Test("relative paths are made absolute")
  func relativePaths() throws {
    var options = CommandLineOptions()
    options.isotovideo = "bin/isotovideo"
    let text =
      "[global]\nHOST = w\nCACHEDIRECTORY = cache\nLOG_DIR = /log\nARCHIVE_DIR = ../a\n[w]\nSHARE_DIRECTORY = share\n"
    let settings = try Settings(
      options: options, environment: ["OPENQA_BASEDIR": "base"],
      read: { $0 == "/etc/openqa/workers.ini" ? text : nil }, directory: "/here")
    #expect(settings.isotovideo == "/here/bin/isotovideo" && settings.pool == "/here/base/openqa/pool/1")
    #expect(settings.cache?.directory == "/here/cache" && settings.logDirectory == "/log")
    #expect(settings.archive.directory == "/here/../a" && settings.webUIs[0].shareDirectory == "/here/share")
    #expect(settings.items.first { $0.key == "CACHEDIRECTORY" }?.value == "/here/cache")
    #expect(settings.jobSettings["CACHEDIRECTORY"] == "cache")
  }

  @Test("what the environment says wins over the files; jobs see two of it")
  func environment() throws {
    let workers = "[global]\nRETRIES = 7\nLOG_DIR = /l\nTERMINATE_AFTER_JOBS_DONE = 1\n[class:x]\nLOG_DIR = /no\n"
    let settings = try Fixture(
      workers,
      environment: [
        "OPENQA_WORKER_CONNECT_RETRIES": "9", "OPENQA_WORKER_LOG_DIR": "/e", "OPENQA_LOGFILE": "f.log",
        "OPENQA_WORKER_TERMINATE_AFTER_JOBS_DONE": "0", "OPENQA_BASEDIR": "/b", "OPENQA_BASE_PORT": "100",
        "OPENQA_WORKER_CONNECT_INTERVAL": "0.1", "OPENQA_WORKER_ACCEPT_ATTEMPTS": "2", "OPENQA_UPLOAD_DELAY": "0",
        "OPENQA_CACHE_MAX_INACTIVE_JOBS": "8", "OPENQA_CACHE_SERVICE_POLL_DELAY": "1",
        "OPENQA_CACHE_ATTEMPTS": "2", "OPENQA_CACHE_ATTEMPT_SLEEP_TIME": "0",
        "OPENQA_CACHE_SERVICE_TEST_SYNC_ATTEMPTS": "4",
        "OPENQA_LOAD_AVG_FILE": "/la", "OVS_DBUS_SERVICE_NAME": "o", "OPENQA_CGROUP_SLICE": "s",
      ]
    ).settings()
    #expect(settings.retry.tries == 9 && settings.jobSettings["RETRIES"] == "7")
    #expect(settings.logFile(nodeName: "n") == "/e/f.log" && settings.jobSettings["LOG_DIR"] == "/e")
    #expect(!settings.terminatesAfterJobs && settings.jobSettings["TERMINATE_AFTER_JOBS_DONE"] == "0")
    #expect(settings.pool == "/b/openqa/pool/3" && settings.connectInterval == .milliseconds(100))
    #expect(settings.item("CACHESERVICEURL") == "http://127.0.0.1:104 <- default")
    #expect(settings.acceptAttempts == 2 && settings.upload.delay == .zero && settings.loadAverageFile == "/la")
    #expect(settings.virtualSwitchService == "o" && settings.cgroupSlice == "s" && settings.warnings.isEmpty)
    #expect(settings.item("OPENQA_CACHE_ATTEMPTS") == "2 <- $OPENQA_CACHE_ATTEMPTS")
    #expect(settings.item("LOG_DIR") == "/e <- $OPENQA_WORKER_LOG_DIR")
    #expect(settings.item("RETRIES") == "9 <- $OPENQA_WORKER_CONNECT_RETRIES")
    let empty = try Fixture(workers, environment: ["OPENQA_WORKER_LOG_DIR": "", "OPENQA_BASEDIR": ""]).settings()
    #expect(empty.logDirectory == "/l" && empty.pool == "/var/lib/openqa/pool/3")
    #expect(try Fixture(environment: ["OPENQA_LOGFILE": "/x/f"]).settings().logFile(nodeName: "n") == "/x/f")
  }

  @Test("flags win over all")
  func flags() throws {
    var fixture = Fixture("[global]\nHOST = w\nLOG_LEVEL = error\n")
    fixture.options.hosts = " other  third "
    fixture.options.isVerbose = true
    fixture.options.keepsPool = true
    fixture.options.isotovideo = "/i"
    let settings = try fixture.settings()
    #expect(settings.webUIs.map(\.address.entry) == ["other", "third"])
    #expect(settings.logLevel == .debug && settings.jobSettings["LOG_LEVEL"] == "debug")
    #expect(settings.keepsPool && settings.isotovideo == "/i")
    #expect(settings.item("HOST") == "other  third <- --host" && settings.item("LOG_LEVEL") == "debug <- --verbose")
    fixture.options.hosts = ""
    #expect(try fixture.settings().webUIs.map(\.address.entry) == ["w"])
  }

  @Test(
    "what cannot be used is named and replaced",
    arguments: [
      ("RETRIES", "many", "60", "not a number, taken as 60"), ("RETRIES", "0", "1", "out of bounds, taken as 1"),
      ("RETRY_DELAY", "nan", "5", "not a number, taken as 5"), ("RETRY_DELAY", "inf", "5", "not a number, taken as 5"),
      ("RETRY_DELAY", "-1", "0", "out of bounds, taken as 0"),
      ("STATUS_MAX_INTERVAL", "1e300", "86400", "out of bounds, taken as 86400"),
      ("UPLOAD_CHUNK_SIZE", "10 000", "10000000", "not a number, taken as 10000000"),
      ("CACHE_MIN_FREE_PERCENTAGE", "x", "-", "not a number, left out"),
      ("LOG_LEVEL", "loud", "loud", "unknown, taken as info; write one of trace, debug, info, warn, error, fatal"),
      ("LOCAL_UPLOAD", "no", "1", "taken as 1, as any text is; write 0"),
    ])
  func replaced(key: String, text: String, used: String, problem: String) throws {
    let settings = try Fixture("[global]\n\(key) = \(text)\n").settings()
    #expect(settings.warnings == ["/etc/openqa/workers.ini:2 [global]: \(key) = \(text): \(problem)"])
    #expect(settings.items.first { $0.key == key }?.shownValue ?? "-" == used)
    #expect(settings.jobSettings[key] == .string(text))
  }

  @Test("an empty value is none, but for jobs")
  func empty() throws {
    let text = Settings.Key.allCases.filter(\.isInFile).map { "\($0.rawValue) =\n" }.joined()
    let settings = try Fixture("[global]\n\(text)").settings()
    #expect(settings.warnings.isEmpty && settings.webUIs.map(\.address.entry) == ["localhost"])
    #expect(settings.items == (try Fixture().settings().items))
    #expect(settings.jobSettings["RETRY_DELAY"] == "" && settings.jobSettings["HOST"] == nil)
  }

  @Test("a job's settings are those that an openQA worker of the same configuration gave it")
  func recorded() throws {
    let path = #filePath.replacing(
      "ConfigurationTests/SettingsTests.swift", with: "OpenQAProtocolTests/Fixtures/worker_status-working.json")
    let bytes = try #require(try Files.read(.init(path)))
    let recorded = try JSON(parsing: bytes)["job"]?["settings"]
    var fixture = Fixture("[global]\nWORKER_CLASS = trace\nLOCAL_UPLOAD = 0\nWORKER_HOSTNAME = 127.0.0.1\n")
    fixture.options.isVerbose = true
    var mine = try fixture.settings().jobSettings
    // Workers of 2023 did not look at the load.
    #expect(mine.removeValue(forKey: "CRITICAL_LOAD_AVG_THRESHOLD") == 40)
    #expect(mine.count == 6)
    for (key, value) in mine { #expect(recorded?[key] == value, "\(key)") }
  }
}
