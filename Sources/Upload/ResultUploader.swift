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
    package var workerID: Int64
    package var commandServerURL: String
    package var workerHostname: String

    package init(job: Int64, workerID: Int64, commandServerURL: String, workerHostname: String) {
      self.job = job
      self.workerID = workerID
      self.commandServerURL = commandServerURL
      self.workerHostname = workerHostname
    }
  }

  /// Uploads at a time.
  private static let concurrency = 4

  /// How far the results are at the web UI.
  package nonisolated let progress = Observed(UploadProgress())

  private let subject: Subject
  private let client: WebUIClient
  private let pool: FilePath
  private let lane: IOLane
  private let logger: Logger
  private let reader: Guarded<ResultReader>

  private var delivered: Set<String> = []
  /// Images that the web UI has not got yet, by MD5 sum, and text and audio files.
  private var images: [String: String] = [:]
  private var files: Set<String> = []
  private var known = JobStatus.Answer(.null)

  /// - Parameter lane: the pool's.
  package init(_ subject: Subject, client: WebUIClient, pool: FilePath, lane: IOLane, logger: Logger) {
    self.subject = subject
    self.client = client
    self.pool = pool
    self.lane = lane
    self.logger = logger
    reader = Guarded(ResultReader(pool: pool, logger: logger))
  }

  /// Tells the web UI what is new and uploads what it has not got.
  /// - Parameter isFinal: the backend has ended: everything is told again, and everything has to arrive.
  /// - Throws: ``UploadError``; `FileError`, `IOLane.TimedOut` for a pool that cannot be read; `CancellationError`.
  package func pass(isFinal: Bool) async throws {
    let status = try await autoinstStatus()
    let (reader, delivered) = (reader, delivered)
    let results = try await lane.run {
      try reader.withLock { try $0.collect(status: status, delivered: delivered, isFinal: isFinal) }
    }
    try await post(results)
    self.delivered.formUnion(results.finished)
    images.merge(results.images) { $1 }
    files.formUnion(results.files)
    for md5 in known.knownImages ?? [] { images[md5] = nil }
    files.subtract(known.knownFiles ?? [])
    showProgress(results)
    defer { showProgress(results) }
    try await upload()
  }

  private func showProgress(_ results: CollectedResults) {
    let (images, files) = (images.count, files.count)
    progress.change {
      ($0.upTo, $0.isUpToCurrent) = (results.upTo, results.isUpToCurrent)
      ($0.outstandingImages, $0.outstandingFiles) = (images, files)
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

  private func post(_ results: CollectedResults) async throws {
    var status = JobStatus.Results(
      workerID: subject.workerID, commandServerURL: subject.commandServerURL, workerHostname: subject.workerHostname)
    status.pauseReason = results.pauseReason
    status.testOrder = results.testOrder
    status.modules = results.modules
    var call = WebUIClient.Call(.post, "jobs/\(subject.job)/status")
    call.body = .bytes(JobStatus.results(status).body, contentType: "application/json")
    call.expectedMember = "result"
    do {
      let answer = JobStatus.Answer(try await client.send(call))
      known.knownImages = answer.knownImages ?? known.knownImages
      known.knownFiles = answer.knownFiles ?? known.knownFiles
    } catch let error as WebUIError {
      throw UploadError(.status, error.description)
    }
  }

  /// Uploads what is outstanding; what fails stays outstanding.
  private func upload() async throws {
    let folder = pool.appending("testresults")
    var work: [(md5: String?, name: String)] = images.map { ($0.key, $0.value) }
    work += files.map { (nil, $0) }
    work.sort { $0.name < $1.name }
    var failure: UploadError?
    try await withThrowingTaskGroup(of: (md5: String?, name: String, failure: UploadError?).self) { group in
      var waiting = work[...]
      for _ in 0..<ResultUploader.concurrency { start(&waiting, folder, in: &group) }
      while let result = try await group.next() {
        if let problem = result.failure {
          logger.error("\(problem)")
          failure = failure ?? problem
        } else if let md5 = result.md5 {
          images[md5] = nil
        } else {
          files.remove(result.name)
        }
        start(&waiting, folder, in: &group)
      }
    }
    if let failure { throw failure }
  }

  private func start(
    _ waiting: inout ArraySlice<(md5: String?, name: String)>, _ folder: FilePath,
    in group: inout ThrowingTaskGroup<(md5: String?, name: String, failure: UploadError?), any Error>
  ) {
    guard let (md5, name) = waiting.popFirst() else { return }
    let (client, job, lane) = (client, subject.job, lane)
    group.addTask {
      do {
        let path = folder.appending(name)
        guard let md5 else {
          try await client.send(Artefact(.detail, name: name, path: path).call(job: job))
          return (md5, name, nil)
        }
        try await client.send(Artefact(.image(md5: md5), name: name, path: path).call(job: job))
        let thumbnail = folder.appending(".thumbs").appending(name)
        if try await lane.run({ Files.status(of: thumbnail)?.kind == .file }) {
          try await client.send(Artefact(.thumbnail(md5: md5), name: name, path: thumbnail).call(job: job))
        }
        return (md5, name, nil)
      } catch let error as WebUIError {
        return (md5, name, UploadError(.artefacts, "Error uploading \(name): \(error)"))
      }
    }
  }
}
