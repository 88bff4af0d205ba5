import AssetCache
import Configuration
import Engines
import Logging
import OpenQAProtocol
import Support
import SystemPackage

/// What a job needs of the cache of its web UI: the cache service brings it (protocol §9).
struct CachedFiles: Sendable {
  /// What is in the cache now.
  struct Found: Sendable {
    /// The cache of the job's web UI.
    var folder: FilePath
    /// What is to be linked into the pool, its names as they are in the folder.
    var assets: [AssetLinks.Asset]
    /// The root of all test code; nil if it does not come from the cache.
    var tests: FilePath?
  }

  private let slot: SlotContext
  private let webUI: Settings.WebUI
  private let job: Int64
  /// Assets at a time: more would only wait in the service, and keep others out.
  private let width: Int
  private let folder: FilePath
  private let service: CacheService
  private let notes: Logger
  private let waits: SetupWaits

  init(_ cache: Settings.Cache, slot: SlotContext, webUI: Settings.WebUI, job: Int64, waits: SetupWaits) {
    self.slot = slot
    self.webUI = webUI
    self.job = job
    width = cache.workers
    folder = cache.directory.appending(webUI.address.baseHost)
    notes = slot.log.logger(.test)
    self.waits = waits
    service = CacheService(cache, http: slot.http, logger: notes, clock: slot.clock)
  }

  /// Lets the service bring all that the job's variables name, assets and test code side by side.
  /// - Throws: ``SetupFailure``; if both fail, that of the assets. `CancellationError`.
  func fetch(for variables: JobVariables) async throws -> Found {
    let wanted = try AssetLinks.cacheable(in: variables)
    async let tests = fetchTests(for: variables)
    let assets = try await fetch(wanted)
    return Found(folder: folder, assets: assets, tests: try await tests)
  }

  private func fetchTests(for variables: JobVariables) async throws -> FilePath? {
    guard let source = webUI.testPoolServer, !TestCode.isElsewhere(variables) else { return nil }
    return try await waits.wait(for: "syncing tests from \(source)") {
      try await service.fetchTests(from: source, into: folder)
    }
  }

  /// Lets the service bring the assets, some at a time, and returns those that are there.
  private func fetch(_ wanted: [AssetLinks.Asset]) async throws -> [AssetLinks.Asset] {
    try await withThrowingTaskGroup(of: Arrival.self) { group in
      // Several settings can name the same file.
      var files = Set(wanted.map(File.init)).sorted()[...]
      var missing: Set<File> = []
      for file in files.prefix(width) { group.addTask { try await fetch(file) } }
      files = files.dropFirst(width)
      while let (file, failure) = try await group.next() {
        if let failure {
          let isNeeded = wanted.contains { File($0) == file && $0.setting != "UEFI_PFLASH_VARS" }
          if isNeeded { throw failure }
          // What the setting says can be something else that the backend knows.
          notes.error("Failed to download \(file.name)")
          missing.insert(file)
        }
        if let next = files.popFirst() { group.addTask { try await fetch(next) } }
      }
      return wanted.filter { !missing.contains(File($0)) }
    }
  }

  /// A file that came, or why it cannot be used.
  private typealias Arrival = (file: File, failure: SetupFailure?)

  private func fetch(_ file: File) async throws -> Arrival {
    let report = try await waits.wait(for: "downloading \(file.type)/\(file.name)") {
      try await service.fetch(.asset(job: job, type: file.type, name: file.name, webUI: webUI.address.entry))
    }
    let output = report.output.isEmpty ? "" : ":\n\(report.output.loggable)"
    notes.info("Download of \(file.name) processed\(output)")
    let path = folder.appending(file.name)
    let size: Int64?
    do {
      size = try await slot.cacheLane.run { Files.status(of: path)?.size }
    } catch let hanging as IOLane.TimedOut {
      throw SetupFailure(.cache, "The cache \(folder) does not answer: \(hanging)")
    }
    if let failure = report.failure(ofAsset: file.name, at: path, isThere: size != nil) { return (file, failure) }
    notes.info("setup: \(file.type)/\(file.name) is there after \(report.seconds) s, \(size ?? 0) bytes")
    return (file, nil)
  }

  /// A file that assets name.
  private struct File: Sendable, Hashable, Comparable {
    var type: String
    var name: String

    init(_ asset: AssetLinks.Asset) {
      type = asset.type
      name = asset.name
    }

    static func < (left: File, right: File) -> Bool { (left.type, left.name) < (right.type, right.name) }
  }
}
