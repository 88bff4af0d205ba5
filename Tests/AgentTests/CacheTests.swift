import Agent
import Configuration
import HTTPServer
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

/// Jobs of a host that has a cache and no share.
@Suite("Jobs from the cache", .timeLimit(.minutes(1)))
struct CacheTests {
  /// A bench without a share, whose cache is filled by a service that has what a share would have.
  struct Host: Sendable {
    let bench: Workbench
    let fake: FakeCacheService
    let folder: TemporaryFolder
    /// The cache of the bench's web UI.
    var cache: FilePath { folder.path.appending("127.0.0.1") }
  }

  static func run(
    polls: Int = 1, recheck: Duration? = nil, change: @escaping @Sendable (inout Settings) -> Void = { _ in },
    _ body: @Sendable (Host) async throws -> Void
  ) async throws {
    let folder = try TemporaryFolder()
    let cache = folder.path.appending("127.0.0.1")
    let fake = try await FakeCacheService.start(polls: polls) { request in
      do { return try Self.bring(request, cache) } catch { return ["status": "processed", "has_download_error": true] }
    }
    let bench = try await Workbench(
      recheck: recheck,
      change: {
        var own = Settings.Cache(directory: folder.path)
        (own.serviceURL, own.pollDelay, own.retryDelay, own.tries) = (fake.url, .milliseconds(10), .zero, 2)
        $0.cache = own
        $0.webUIs[0].testPoolServer = "rsync://w/tests"
        change(&$0)
      })
    try Files.remove(bench.share)
    let result: Result<Void, any Error>
    do { result = .success(try await body(Host(bench: bench, fake: fake, folder: folder))) } catch {
      result = .failure(error)
    }
    await fake.stop()
    try result.get()
  }

  /// What the service does: it knows `lab.iso` and two others, and the tests.
  @Sendable static func bring(_ request: JSON, _ cache: FilePath) throws -> JSON {
    if request["task"] == "cache_tests" {
      try Files.makeDirectory(cache.appending("tests/lab/needles"))
      return ["status": "processed", "result": "exit code 0", "output": "Try 1:\nsent"]
    }
    let name = request["args"]?.array?[2].string ?? ""
    guard ["lab.iso", "disk", "code"].contains(name) else {
      let output = "[info] Download of \"\(cache.appending(name))\" failed: 404 Not Found\n"
      return ["status": "processed", "has_download_error": true, "output": .string(output)]
    }
    try Files.makeDirectory(cache)
    try Files.replace(cache.appending(name), with: Array("of the web UI".utf8))
    return ["status": "processed", "has_download_error": false, "output": "[info] Download successful\n"]
  }

  @Test("a job without a share: assets and test code come from the cache")
  func basic() async throws {
    try await Self.run { host in
      let (bench, fake) = (host.bench, host.fake)
      try await bench.run { _ in
        let line = try BadInputTests.isotovideo(before: #"stat -c "%n has %h" lab.iso disk; readlink lab"#)
        let job = try await bench.end(
          of: try await bench.schedule(
            BadInputTests.module, ["HDD_1": "disk", "HDD_2": "disk", "UEFI_PFLASH_VARS": "none", "ISOTOVIDEO": line]))
        #expect(job.result == "passed", "\(job.reason ?? "")")
        let vars = try JSON(parsing: try #require(try bench.arrived(job.id, "vars.json")))
        let share = bench.share
        for (name, value) in [
          "ISO": "lab.iso", "HDD_1": "disk", "HDD_2": "disk", "UEFI_PFLASH_VARS": "none", "CASEDIR": "lab",
          "ASSETDIR": share.appending("factory").string, "PRJDIR": host.cache.string,
        ] {
          #expect(vars[name]?.scalar == value, "\(name)")
        }
        let log = try #require(try bench.arrived(job.id, "autoinst-log.txt"))
        for text in [
          "lab.iso has 2", "disk has 2", host.cache.appending("tests/lab").string,
          "Downloading lab.iso, request #", "Download of lab.iso processed:\n[info] Download successful",
          "setup: iso/lab.iso is there after ", " s, 13 bytes", "setup: tests from rsync://w/tests are there after ",
          "Rsync from 'rsync://w/tests' to '\(host.cache)', request #", "Output of rsync:\nTry 1:",
          "Finished to rsync tests",
        ] {
          #expect(log.contains(text), "\(text)")
        }
      }
      let asked = Set(fake.requests.map(\.text))
      let expected: [JSON] = [
        [
          "task": "cache_asset", "args": [1, "iso", "lab.iso", .string(bench.web.url)],
          "lock": .string("lab.iso.\(bench.web.url)"),
        ],
        [
          "task": "cache_asset", "args": [1, "hdd", "disk", .string(bench.web.url)],
          "lock": .string("disk.\(bench.web.url)"),
        ],
        [
          "task": "cache_tests", "args": ["rsync://w/tests", .string(host.cache.string)],
          "lock": .string("rsync://w/tests.\(host.cache)"),
        ],
      ]
      #expect(asked == Set(expected.map(\.text)) && fake.requests.count == 3, "each file once")
    }
  }

  struct Failure: Sendable, CustomTestStringConvertible {
    var settings: [String: JSON]
    /// `CACHE` stands for the cache of the web UI.
    var reason: String?
    var answers: [(target: String, answer: ServerResponse)] = []
    var testDescription: String { "\(settings): \(reason ?? "passed")" }
  }

  static let failures: [Failure] = [
    Failure(settings: ["ISO": "gone.iso"], reason: "asset failure: Failed to download gone.iso to CACHE/gone.iso"),
    Failure(settings: ["UEFI_PFLASH_VARS": "none", "UEFI": "1"], reason: nil),
    Failure(
      settings: ["UEFI_PFLASH_CODE": "none"], reason: "asset failure: Failed to download none to CACHE/none"),
    Failure(
      settings: ["HDD_1": "../disk"],
      reason: "asset failure: Cannot fetch HDD_1 asset hdd/../disk: with a cache, its name has to be that of a file, "
        + "without folders"),
    Failure(
      settings: ["DISTRI": "none"], reason: "setup failure: The source directory CACHE/tests/none does not exist"),
    Failure(
      settings: [:], reason: "cache failure: Cache service status error from API: Minion job #1 failed: gone",
      answers: [("GET /status/1", .json(["error": "Minion job #1 failed: gone"], status: 500))]),
    Failure(
      settings: [:],
      reason:
        "cache failure: Failed to send asset request for lab.iso: Cache service enqueue error: 200 non-JSON response",
      answers: Array(repeating: ("POST /enqueue", .text("<html>")), count: 2)),
    Failure(settings: ["CASEDIR": "https://g/t.git", "NEEDLES_DIR": "https://g/n.git"], reason: nil),
  ]

  @Test("what goes wrong in a cache is named, and the slot goes on", arguments: failures)
  func failed(_ example: Failure) async throws {
    try await Self.run { host in
      for (target, answer) in example.answers { host.fake.answerOnce(target) { answer } }
      try await host.bench.run { _ in
        let job = try await host.bench.end(of: try await host.bench.schedule(BadInputTests.module, example.settings))
        #expect(job.reason == example.reason?.replacing("CACHE", with: host.cache.string))
        #expect(job.result == (example.reason == nil ? "passed" : "incomplete"))
        let syncsTests = example.settings["NEEDLES_DIR"] == nil
        if example.reason == nil {
          #expect(host.fake.requests.contains { $0["task"] == "cache_tests" } == syncsTests)
        }
        let next = try await host.bench.end(of: try await host.bench.schedule(BadInputTests.module))
        #expect(next.result == "passed", "\(next.reason ?? "")")
      }
    }
  }

  @Test("a service that is not there: the slot takes no jobs")
  func nobody() async throws {
    try await Self.run(change: { $0.cache?.serviceURL = "http://127.0.0.1:1" }) { host in
      try await host.bench.run { _ in
        try await host.bench.log.line(with: "Cache service info error: 127.0.0.1:1: ")
      }
    }
  }

  @Test("a service that is gone when the job is set up: a cache failure after all tries")
  func gone() async throws {
    try await Self.run { host in
      // Each of two tries can take two connections, and so for both that are asked for.
      for _ in 1...8 { host.fake.answerOnce("POST /enqueue") { throw AbortConnection.reset } }
      try await host.bench.run { _ in
        let job = try await host.bench.end(of: try await host.bench.schedule(BadInputTests.module))
        #expect(job.result == "incomplete")
        let reason = "cache failure: Failed to send asset request for lab.iso: Cache service enqueue error: 127.0.0.1:"
        #expect(job.reason?.hasPrefix(reason) == true, "\(job.reason ?? "")")
        let log = try host.bench.arrived(job.id, "autoinst-log.txt")
        #expect(log?.contains("trying again, 1 times; is the cache service running (CACHESERVICEURL)?") == true)
      }
    }
  }

  @Test("a download that never ends: cancelling does, and so does MAX_SETUP_TIME", arguments: [true, false])
  func endless(isCancelled: Bool) async throws {
    try await Self.run(polls: .max) { host in
      let bench = host.bench
      try await bench.run { _ in
        let settings: [String: JSON] = isCancelled ? [:] : ["MAX_SETUP_TIME": "0.5"]
        let id = try await bench.schedule(BadInputTests.module, settings)
        if isCancelled {
          try await bench.log.line(with: "Downloading lab.iso, request #")
          await bench.web.send(.cancel, for: id)
        }
        let job = try await bench.end(of: id)
        #expect(job.result == (isCancelled ? "user_cancelled" : "timeout_exceeded"))
        let log = try #require(try bench.arrived(id, "autoinst-log.txt"))
        #expect(log.contains(#/setup: no longer waiting for the cache service: iso/lab\.iso \((queued|downloading)\)/#))
      }
    }
  }

  @Test("test code of the share is used unless TESTPOOLSERVER is set; the log says what to do")
  func testsOfShare() async throws {
    try await Self.run(change: { $0.webUIs[0].testPoolServer = nil }) { host in
      let bench = host.bench
      try await bench.run { _ in
        try await bench.log.line(with: "or set TESTPOOLSERVER in the web UI's section of workers.ini")
        let job = try await bench.end(of: try await bench.schedule(BadInputTests.module))
        let tests = bench.share.appending("tests/lab")
        #expect(job.reason == "setup failure: The source directory \(tests) does not exist")
        try Files.makeDirectory(tests)
        let next = try await bench.end(of: try await bench.schedule(BadInputTests.module))
        #expect(next.result == "passed", "\(next.reason ?? "")")
      }
    }
  }
}
