import Logging
import OpenQAProtocol
import Support
import SystemPackage

/// What one pass over a pool's results found: what to tell the web UI, and which files go with it.
struct CollectedResults: Sendable {
  var pauseReason: String?
  /// Entries of test_order to send; nil where nothing was collected.
  var testOrder: [TestOrderEntry]?
  /// JSON text of each module to send.
  var modules: [String: [UInt8]] = [:]
  /// JSON text of each module without its details, for a web UI that refuses the whole.
  var withoutDetails: [String: [UInt8]] = [:]
  /// The modules that need not be read again once the web UI has taken these results.
  var finished: Set<String> = []
  /// The last module that goes with these results; nil if none does.
  var upTo: String?
  /// Whether that is the one that the test is at, which pauses.
  var isUpToCurrent = false
  /// Images by the MD5 sum that isotovideo wrote them with.
  var images: [String: String] = [:]
  /// Text and audio files.
  var files: Set<String> = []
}

/// Reads results that a backend writes (protocol §6), each but once before the final pass.
///
/// Blocks: to be used on the pool's lane, which also makes it safe without a lock of its own.
struct ResultReader {
  private let folder: FilePath
  private let logger: Logger
  /// The order of modules as last read, and what tells whether the file has changed.
  private var order: [TestOrderEntry] = []
  private var orderStatus: Files.Status?
  private let names: ScreenshotNames
  /// Screenshots that have not arrived and never will: results are not to point at them.
  private var withheld: Set<String> = []
  /// What has been warned of.
  private var warnings: Set<String> = []

  init(pool: FilePath, names: ScreenshotNames, logger: Logger) {
    folder = pool.appending("testresults")
    self.names = names
    self.logger = logger
  }

  /// Reads what there is to tell.
  /// - Parameters:
  ///   - delivered: modules that the web UI has.
  ///   - isFinal: whether the backend has ended: all is read, again.
  /// - Throws: ``UploadError`` when the backend runs without tests.
  mutating func collect(status: AutoinstStatus?, delivered: Set<String>, isFinal: Bool) throws(UploadError)
    -> CollectedResults
  {
    var results = CollectedResults()
    results.pauseReason = isFinal ? nil : status?.pauseReason
    let isOrderNew = readOrder()
    guard orderStatus != nil else {
      if !isFinal, status?.status == "running", !Files.exists(orderPath) {
        throw UploadError(.noTestsScheduled, "no tests scheduled")
      }
      return results
    }
    let names = order.map(\.name)
    let current = status?.currentTest.flatMap { names.firstIndex(of: $0) }
    let isPaused = results.pauseReason != nil
    let end = isFinal ? names.count : current.map { isPaused ? $0 + 1 : $0 } ?? 0

    var extraEntries: [TestOrderEntry] = []
    for (index, name) in names.prefix(end).enumerated() where isFinal || !delivered.contains(name) {
      guard let module = readModule(name) else { break }
      let isRunning = !isFinal && index == current
      add(module, name, isRunning: isRunning, to: &results)
      let extras = entries(module.extraTests, of: "the extra results of \(name)")
      for extra in extras {
        guard let extraModule = readModule(extra.name) else { continue }
        add(extraModule, extra.name, isRunning: false, to: &results)
      }
      extraEntries += extras
      if !isRunning { results.finished.insert(name) }
      results.upTo = name
    }
    // A test can pause before the module has a result.
    if isPaused, let current { (results.upTo, results.isUpToCurrent) = (names[current], true) }
    if !isFinal, let current, results.modules[names[current]] == nil {
      results.modules[names[current]] = JobStatus.runningModule
    }
    if isOrderNew || isFinal {
      results.testOrder = order + extraEntries
    } else if !results.finished.isEmpty || isPaused {
      results.testOrder = extraEntries
    }
    return results
  }

  /// Lets results point at these screenshots no more.
  mutating func withhold(_ screenshots: Set<String>) { withheld = screenshots }

  private var orderPath: FilePath { folder.appending("test_order.json") }

  private mutating func add(
    _ module: ModuleResult, _ name: String, isRunning: Bool, to results: inout CollectedResults
  ) {
    for problem in module.problems { warn("result-\(name).json: \(problem); left out") }
    for screenshot in module.screenshots {
      if let checksum = checksum(of: screenshot) { results.images[checksum] = screenshot }
    }
    for file in module.files where isPlainName(file) {
      if Files.status(of: folder.appending(file))?.kind == .file {
        results.files.insert(file)
      } else {
        warn("\(file) is named by the result of \(name), but is no regular file; it is not uploaded")
      }
    }
    results.withoutDetails[name] = module.withoutDetails
    results.modules[name] = module.text(isRunning: isRunning, withholding: withheld) { names.known($0) }
  }

  /// Reads the order of modules if it is new.
  private mutating func readOrder() -> Bool {
    let path = orderPath
    guard let status = Files.status(of: path), status != orderStatus else { return false }
    do {
      guard let content = try Files.read(path), let entries = try JSON(parsing: content).array else {
        logger.warning("\(path): not a list of modules; it is read again when it changes")
        return false
      }
      order = self.entries(entries, of: "\(path)")
      orderStatus = status
      return true
    } catch {
      logger.warning("\(path): \(error); it is read again when it changes")
      return false
    }
  }

  /// The entries that can be used of a list.
  private mutating func entries(_ list: [JSON], of place: String) -> [TestOrderEntry] {
    list.compactMap { json in
      let entry = TestOrderEntry(json)
      if entry == nil { warn("\(place): an entry without a usable name is skipped: \(json.text.prefix(80))") }
      return entry
    }
  }

  /// Warns of a problem once, however often it is met.
  private mutating func warn(_ problem: String) {
    if warnings.insert(problem).inserted { logger.warning("\(problem)") }
  }

  /// A module's result; nil if it is not there yet.
  private mutating func readModule(_ name: String) -> ModuleResult? {
    guard isPlainName(name) else { return nil }
    let path = folder.appending("result-\(name).json")
    do {
      guard let content = try Files.read(path) else { return nil }
      return try ModuleResult(parsing: content)
    } catch let error as JSONError {
      warn("\(path): \(error); taken as {}")
    } catch {
      warn("\(error); taken as {}")
    }
    return .empty
  }

  private mutating func checksum(of name: String) -> String? {
    guard isPlainName(name) else { return nil }
    do { return try names.sum(of: name) } catch {
      warn("screenshot \(name) is named by a result, but cannot be read: \(error)")
      return nil
    }
  }

  /// Whether a name that a result refers to stays in the folder of results.
  private mutating func isPlainName(_ name: String) -> Bool {
    let isPlain =
      !name.isEmpty && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 } && name != "." && name != ".."
    if !isPlain { warn("a result refers to '\(name)', which is no file name") }
    return isPlain
  }
}
