import AssetCache
import OpenQAProtocol
import Support
import SystemPackage
import Testing

/// What is sent to the cache service, and what its reports mean for a job.
@Suite("Requests and reports of the cache service")
struct ReportTests {
  @Test("requests as they have always been")
  func requests() throws {
    let asset = CacheRequest.asset(job: 27, type: "hdd", name: "lab.qcow2", webUI: "http://127.0.0.1:8080")
    let text = #"""
      {"args":[27,"hdd","lab.qcow2","http:\/\/127.0.0.1:8080"],"lock":"lab.qcow2.http:\/\/127.0.0.1:8080","task":"cache_asset"}
      """#
    #expect(asset.body == (try JSON(parsing: text)))
    let tests = CacheRequest.tests(source: "rsync://w/tests", folder: "/cache/w")
    #expect(
      tests.body == [
        "task": "cache_tests", "args": ["rsync://w/tests", "/cache/w"], "lock": "rsync://w/tests./cache/w",
      ])
  }

  static let refused = "[info] [#1] Download of \"/c/w/x.iso\" failed: 404 Not Found"
  static let assets: [(report: CacheReport, isThere: Bool, failure: SetupFailure?)] = [
    (CacheReport(), true, nil),
    (CacheReport(output: refused), true, nil),
    (CacheReport(output: refused), false, SetupFailure(.asset, "Failed to download x.iso to /c/w/x.iso")),
    (
      CacheReport(output: refused, hasDownloadError: true), true,
      SetupFailure(.asset, "Failed to download x.iso to /c/w/x.iso")
    ),
    (CacheReport(hasDownloadError: true), true, SetupFailure(.cache, "Failed to download x.iso to /c/w/x.iso")),
    (CacheReport(output: "404 it is"), false, SetupFailure(.asset, "Failed to download x.iso to /c/w/x.iso")),
    (
      CacheReport(output: "failed: 503 Service Unavailable\nfailed: 1404 x\n404"), false,
      SetupFailure(.cache, "Failed to download x.iso to /c/w/x.iso")
    ),
    // A cache of some size is no answer of a web UI.
    (
      CacheReport(output: "Cache size of \"/c\" is 412 MiB, with limit 50 GiB"), false,
      SetupFailure(.cache, "Failed to download x.iso to /c/w/x.iso")
    ),
    (
      CacheReport(output: "a\nPurging \"/c/w/x.iso\" because we need space for new assets, reclaiming 1 GiB\nb"), false,
      SetupFailure(
        .cache,
        "Failed to download x.iso to /c/w/x.iso. Asset was pruned immediately after download (poo#71827), please retrigger"
      )
    ),
    (
      CacheReport(output: "Purging \"/c/w/y.iso\" because we need space for new assets\nx.iso"), false,
      SetupFailure(.cache, "Failed to download x.iso to /c/w/x.iso")
    ),
  ]

  @Test("what a report says of an asset", arguments: assets)
  func asset(_ example: (report: CacheReport, isThere: Bool, failure: SetupFailure?)) {
    let failure = example.report.failure(ofAsset: "x.iso", at: "/c/w/x.iso", isThere: example.isThere)
    #expect(failure == example.failure)
  }

  static func failed(_ text: String) -> CacheReport.Sync {
    .failed(SetupFailure(.cache, "Failed to rsync tests: \(text)"))
  }

  static let syncs: [(result: String?, tries: Int, outcome: CacheReport.Sync)] = [
    ("exit code 0", 1, .done), (nil, 1, .done),
    ("exit code 10", 3, .again("Error in socket I/O (exit code 10), trying again")),
    ("exit code 23", 2, .again("Partial transfer due to error (exit code 23), trying again")),
    ("exit code 24", 2, .again("Partial transfer due to vanished source files (exit code 24), trying again")),
    ("exit code 24", 1, failed("exit code 24")), ("exit code 5", 3, failed("exit code 5")),
    ("exit code 100", 3, failed("exit code 100")), ("", 3, failed("")),
    ("exit code 0 or so", 3, failed("exit code 0 or so")),
  ]

  @Test("what a report says of test code", arguments: syncs)
  func sync(_ example: (result: String?, tries: Int, outcome: CacheReport.Sync)) {
    #expect(CacheReport(result: example.result).sync(remainingTries: example.tries) == example.outcome)
  }
}
