package import Logging
package import OpenQAProtocol
package import Support
package import SystemPackage
import Transport
package import WebUIClient

/// Brings a job's results to the web UI while the backend writes them (protocol §6): one pass at a time.
package actor ResultUploader {
  /// What every status says of the job.
  package struct Subject: Sendable {
    package var job: Int64
    /// The slot's number at the web UI, which a new registration can change.
    package var workerID: @Sendable () async -> Int64
    package var commandServerURL: String
    package var workerHostname: String

    package init(
      job: Int64, workerID: @escaping @Sendable () async -> Int64, commandServerURL: String, workerHostname: String
    ) {
      self.job = job
      self.workerID = workerID
      self.commandServerURL = commandServerURL
      self.workerHostname = workerHostname
    }
  }

  /// How far the results are at the web UI.
  package nonisolated let progress = Observed(UploadProgress())
  /// What has arrived of the job's files.
  package nonisolated let tally = Observed(UploadTally())

  private let subject: Subject
  private let client: WebUIClient
  private let pool: FilePath
  private let lane: IOLane
  private let logger: Logger
  private let reader: Guarded<ResultReader>
  private let screenshots: ImageUploader
  private let knownImages: KnownImages

  private var delivered: Set<String> = []
  /// Images that the web UI has not got yet, by MD5 sum, and text and audio files.
  private var images: [String: String] = [:]
  private var files: Set<String> = []
  private var known = JobStatus.Answer(.null)
  private var lastAnswer = JobStatus.Answer(.null)
  private var lastRefusal: StatusRefusal?
  private var refused = RefusedResults()

  /// - Parameter lane: the pool's.
  package init(
    _ subject: Subject, client: WebUIClient, pool: FilePath, lane: IOLane, compression: ImageCompression,
    known: KnownImages = KnownImages(), logger: Logger
  ) {
    self.subject = subject
    self.client = client
    self.pool = pool
    self.lane = lane
    self.logger = logger
    let folder = pool.appending("testresults")
    let names = ScreenshotNames(folder: folder)
    knownImages = known
    reader = Guarded(ResultReader(pool: pool, names: names, logger: logger))
    screenshots = ImageUploader(
      job: subject.job, client: client, folder: folder, lane: lane, names: names, compression: compression,
      known: knownImages, logger: logger, tally: tally)
  }

  /// Uploads screenshots as the backend writes them, until the task is cancelled.
  /// - Parameters:
  ///   - watcher: the host's.
  ///   - skipsOld: those that are there already are left to the passes: an earlier process may have brought them.
  package func followScreenshots(
    _ watcher: FileWatcher, skipsOld: Bool, clock: any Clock<Duration> & Sendable
  ) async {
    await screenshots.follow(watcher, skipsOld: skipsOld, clock: clock)
  }

  /// Tells the web UI what is new and uploads what it has not got.
  /// - Parameter isFinal: the backend has ended: everything is told again, and everything has to arrive.
  /// - Throws: ``UploadError``; `FileError`, `IOLane.TimedOut` for a pool that cannot be read; `CancellationError`.
  package func pass(isFinal: Bool) async throws {
    if !isFinal {
      try await tell()
      return try await deliver()
    }
    await screenshots.hurry()
    let status = try await autoinstStatus()
    // What arrives after the web UI has looked for it is none that it has lost.
    let arrived = await screenshots.arrived
    let answer = try await tell(status, isFinal: true)
    // At the end only the web UI knows what it has got.
    do { try await deliver(again: answer.knownImages == nil ? [] : arrived) } catch let failure as UploadError {
      await withhold(status)
      throw failure
    }
  }

  /// Tells the web UI what is new. What it has not got of that is outstanding then.
  /// - Throws: ``UploadError``; `FileError`, `IOLane.TimedOut` for a pool that cannot be read; `CancellationError`.
  package func tell() async throws { _ = try await tell(autoinstStatus(), isFinal: false) }

  private func tell(_ status: AutoinstStatus?, isFinal: Bool) async throws -> JobStatus.Answer {
    let (reader, delivered) = (reader, delivered)
    var results = try await lane.run {
      try reader.withLock { try $0.collect(status: status, delivered: delivered, isFinal: isFinal) }
    }
    refused.withhold(from: &results)
    let answer = try await tell(results)
    self.delivered.formUnion(results.finished)
    images.merge(results.images) { $1 }
    files.formUnion(results.files)
    for md5 in known.knownImages ?? [] { images[md5] = nil }
    files.subtract(known.knownFiles ?? [])
    let (images, files) = (images.count, files.count)
    progress.change {
      ($0.upTo, $0.isUpToCurrent) = (results.upTo, results.isUpToCurrent)
      ($0.outstandingImages, $0.outstandingFiles) = (images, files)
    }
    return answer
  }

  /// Tells the results once more, without the images that the web UI has not got in the end: nothing that it shows is to
  /// point at them.
  private func withhold(_ status: AutoinstStatus?) async {
    let (reader, missing) = (reader, Set(images.values))
    guard !missing.isEmpty else { return }
    do {
      var results = try await lane.run {
        try reader.withLock { reader in
          reader.withhold(missing)
          defer { reader.withhold([]) }
          return try reader.collect(status: status, delivered: [], isFinal: true)
        }
      }
      refused.withhold(from: &results)
      _ = try await tell(results, tries: 1)
    } catch {
      logger.warning("The web UI shows images that it has not got: \(error)")
    }
  }

  /// What the backend does; nil if it does not say, or nothing that can be read.
  private func autoinstStatus() async throws -> AutoinstStatus? {
    let path = pool.appending("autoinst-status.json")
    do {
      let content = try await lane.run { try Files.read(path, limit: 1 << 20) }
      return try content.map { AutoinstStatus(try JSON(parsing: $0)) }
    } catch let error as JSONError {
      logger.warning("\(path): \(error); taken as missing")
    } catch let error as FileError {
      logger.warning("\(error); taken as missing")
    }
    return nil
  }

  /// What the web UI does not show of the results, since it refuses it; nil if it takes everything.
  package var warning: String? { refused.warning }

  /// Tells results. A web UI refuses a status with the same answer for a job that it has given up and for results that it
  /// cannot take: if it takes a status without results, the results are at fault, and are told in parts.
  private func tell(_ results: CollectedResults, tries: Int? = nil) async throws -> JobStatus.Answer {
    do { return try await post(results, tries: tries) } catch let refusal as StatusRefusal {
      var bare = results
      (bare.testOrder, bare.modules) = (nil, [:])
      do { _ = try await post(bare, tries: tries) } catch let refusal as StatusRefusal {
        throw UploadError(.status, refusal.description)
      }
      lastRefusal = refusal
      return try await tellInParts(results, tries: tries)
    }
  }

  /// Finds the entries and modules that the web UI refuses, by halves, and tells all others.
  private func tellInParts(_ results: CollectedResults, tries: Int?) async throws -> JobStatus.Answer {
    func isTaken(_ change: (inout CollectedResults) -> Void) async throws -> Bool {
      var part = results
      (part.testOrder, part.modules) = ([], [:])
      change(&part)
      do { _ = try await post(part, tries: tries) } catch let refusal as StatusRefusal {
        lastRefusal = refusal
        return false
      }
      return true
    }
    let entries = try await Halving.find(in: results.testOrder ?? []) { half in
      try await isTaken { $0.testOrder = half }
    }
    refused.note(entries: entries, lastRefusal)
    // A web UI without an entry for a module would ask for the module again and again.
    let unknown = Set(entries.map(\.name))
    let names = results.modules.keys.filter { !unknown.contains($0) }.sorted()
    let modules = try await Halving.find(in: names) { half in
      try await isTaken { $0.modules = results.modules.filter { half.contains($0.key) } }
    }
    for name in modules { refused.note(module: name, content: results.modules[name] ?? [], lastRefusal) }
    for name in modules {
      // Without its details a module still shows how it ended.
      if try await !isTaken({ $0.modules[name] = results.withoutDetails[name] }) { refused.noteHopeless(module: name) }
    }
    if let warning = refused.warning { logger.warning("\(warning)") }
    return lastAnswer
  }

  private func post(_ results: CollectedResults, tries: Int? = nil) async throws -> JobStatus.Answer {
    var status = JobStatus.Results(
      workerID: await subject.workerID(), commandServerURL: subject.commandServerURL,
      workerHostname: subject.workerHostname)
    status.pauseReason = results.pauseReason
    status.testOrder = results.testOrder?.map(\.json)
    status.modules = results.modules
    var call = WebUIClient.Call(.post, "jobs/\(subject.job)/status")
    call.body = .bytes(JobStatus.results(status).body, contentType: "application/json")
    call.expectedMember = "result"
    call.tries = tries
    do {
      let answer = JobStatus.Answer(try await client.send(call))
      known.knownImages = answer.knownImages ?? known.knownImages
      knownImages.insert(answer.knownImages ?? [])
      known.knownFiles = answer.knownFiles ?? known.knownFiles
      lastAnswer = answer
      return answer
    } catch let error as WebUIError {
      if let refusal = StatusRefusal(error) { throw refusal }
      throw UploadError(.status, error.description)
    }
  }

  /// Uploads what is outstanding; what fails stays outstanding. The web UI can be told of more meanwhile.
  /// - Parameters:
  ///   - again: images that were uploaded, and lost.
  ///   - goesOn: whether another one is to be begun.
  /// - Throws: ``UploadError``, the first, when everything was tried; `CancellationError`.
  package func deliver(again: Set<String> = [], while goesOn: @Sendable () -> Bool = { true }) async throws {
    defer {
      let (images, files) = (images.count, files.count)
      progress.change { ($0.outstandingImages, $0.outstandingFiles) = (images, files) }
    }
    var work: [(md5: String?, name: String)] = images.map { ($0.key, $0.value) }
    work += files.map { (nil, $0) }
    work.sort { $0.name < $1.name }
    var failure: UploadError?
    try await withThrowingTaskGroup(of: (md5: String?, name: String, failure: UploadError?).self) { group in
      var waiting = work[...]
      for _ in 0..<client.uploadsInHand { start(&waiting, again, in: &group) }
      while let result = try await group.next() {
        if let problem = result.failure {
          logger.error("\(problem)")
          failure = failure ?? problem
        } else if let md5 = result.md5 {
          images[md5] = nil
        } else {
          files.remove(result.name)
        }
        if goesOn() { start(&waiting, again, in: &group) }
      }
    }
    if let failure { throw failure }
  }

  private func start(
    _ waiting: inout ArraySlice<(md5: String?, name: String)>, _ again: Set<String>,
    in group: inout ThrowingTaskGroup<(md5: String?, name: String, failure: UploadError?), any Error>
  ) {
    guard let (md5, name) = waiting.popFirst() else { return }
    let (client, job, screenshots, folder) = (client, subject.job, screenshots, pool.appending("testresults"))
    let (lane, tally, logger) = (lane, tally, logger)
    group.addTask {
      do {
        if let md5 {
          try await screenshots.bring(.init(name: name, md5: md5), again: again.contains(md5))
        } else {
          let path = folder.appending(name)
          // What was there when its result was read can be gone by now.
          guard let status = try await lane.run({ Files.status(of: path) }), status.kind == .file else {
            logger.warning("\(name) is gone before it was uploaded")
            return (md5, name, nil)
          }
          try await client.send(Artefact(.detail, name: name, path: path).call(job: job))
          tally.note(bytes: status.size)
        }
        return (md5, name, nil)
      } catch let error as WebUIError {
        return (md5, name, UploadError(.artefacts, "Error uploading \(name): \(error)"))
      }
    }
  }
}
