import Configuration
import Engines
import Live
import Logging
import OpenQAProtocol
import Support
import SystemPackage
import Transport
import Upload
import WebUIClient
import WebUISession

extension JobRun {
  /// Steps of the report that are on record when they are done; logs and assets go by their paths.
  enum Step {
    static let noted = "noted"
    static let duplicated = "duplicated"
    static let delivered = "delivered"
    static let told = "told"
    static func uploaded(_ file: FilePath) -> String { "uploaded \(file)" }
  }

  /// Uploads logs and results and tells the web UI how the job ended.
  func report(_ job: JobInfo, _ uploader: ResultUploader?, _ view: LiveView?, _ journal: JobJournal) async {
    let record = await journal.record
    if record.finished.contains(Step.told) { return }
    var reason = record.reason ?? .quit
    var evidence = await evidence()
    if !record.finished.contains(Step.delivered) {
      let end = JobEnd(reason, evidence: evidence)
      (reason, evidence.uploadFailure) = await deliver(
        job, uploader, reason, lastWords: lastWords(end, reason), journal)
      evidence.warning = await uploader?.warning
      let isRefused = if case .apiFailure = reason { reason != record.reason } else { false }
      if isRefused || evidence.uploadFailure != nil, !Task.isCancelled {
        let end = JobEnd(reason, evidence: evidence)
        await archive(job, end, because: evidence.uploadFailure ?? end.reason ?? "")
      }
      if evidence.uploadFailure == nil {
        await journal.update { [reason] in
          $0.reason = reason
          $0.finished.insert(Step.delivered)
        }
      }
    }
    await view?.finish(within: JobRun.lastLook)
    let isFailure = if case .apiFailure = reason { true } else { false }
    let answer = await setDone(job.id, JobEnd(reason, evidence: evidence), isCertain: !isFailure)
    // What failed may have been due to the registration.
    let isFreed = answer != nil && !isFailure
    if Task.isCancelled { return }
    // A slot that leaves says so over the connection.
    if !isFreed, record.reason != .quit { tell(.released(job.id)) }
    await journal.update {
      $0.result = answer?["result"]?.scalar
      $0.finished.insert(Step.told)
    }
  }

  /// What the backend has left that tells how it ended.
  private func evidence() async -> JobEnd.Evidence {
    var evidence = JobEnd.Evidence()
    evidence.baseState = BaseState(parsing: try? await slot.pool.read("base_state.json", limit: 1 << 20))
    if evidence.baseState != .missing {
      let log = slot.pool.path.appending("autoinst-log.txt")
      let lines = try? await slot.pool.lane.run { try LineSearch.lines(of: log, containing: JobEnd.tellingTexts) }
      evidence.log = (lines ?? []).joined(separator: "\n")
    }
    return evidence
  }

  /// The line that the log of a job ends with that did not come to its end; nil for one that did.
  private func lastWords(_ end: JobEnd, _ reason: StopReason) -> String? {
    guard let result = end.result, ["incomplete", "timeout_exceeded"].contains(result), let why = end.reason else {
      return nil
    }
    let isSilent =
      reason == .timedOut(.execution) && commandServerIsLate.value != nil && commandServerIsUp.value == nil
    return "This job is \(result): \(why)\(isSilent ? " (the backend's command server never answered)" : "")"
  }

  /// Tells the web UI that a job is not run.
  func skip(_ job: JobInfo, because reason: SkipReason) async {
    slot.logger.info("Skipping job \(job.id) from \(webUI.address): \(reason.text)")
    await setDone(job.id, JobEnd(skippedFor: reason.stop), isCertain: true)
  }

  /// Brings everything to the web UI that it gets after such a stop.
  /// - Returns: the reason, which a failure replaces, and why results are missing.
  private func deliver(
    _ job: JobInfo, _ uploader: ResultUploader?, _ decided: StopReason, lastWords: String?, _ journal: JobJournal
  ) async -> (StopReason, String?) {
    var reason = decided
    let finished = await journal.record.finished
    if !finished.contains(Step.noted) {
      let notes = slot.log.logger(.test)
      notes.info("+++ worker notes +++")
      notes.info("End time: \(Timestamp.utc())")
      notes.info("Result: \(reason.name)")
      await journal.update { $0.finished.insert(Step.noted) }
    }
    if reason.uploadsLogs {
      do {
        try await whenItIsBack { [reason] in try await uploadLogs(job, reason, lastWords, uploader, journal) }
      } catch { reason = .apiFailure("\(error)") }
    }
    if reason.isRunAgain, !finished.contains(Step.duplicated) {
      var call = WebUIClient.Call(.post, "jobs/\(job.id)/duplicate")
      call.query = [("dup_type_auto", "1")]
      do {
        _ = try await whenItIsBack { [call] in try await client.send(call) }
        await journal.update { $0.finished.insert(Step.duplicated) }
      } catch { reason = .apiFailure("\(error): duplication after \(reason.name)") }
    }
    if case .apiFailure = reason { return (reason, nil) }
    do { try await whenItIsBack { try await uploader?.pass(isFinal: true) } } catch {
      let isStatus = (error as? UploadError)?.code == .status
      return (reason, "Unable to upload images: \(isStatus ? "posting status failed" : "\(error)")")
    }
    return (reason, nil)
  }

  private func uploadLogs(
    _ job: JobInfo, _ reason: StopReason, _ lastWords: String?, _ uploader: ResultUploader?, _ journal: JobJournal
  ) async throws {
    let finished = await journal.record.finished
    let ledger = UploadLedger(
      hasArrived: { finished.contains(Step.uploaded($0)) },
      note: { file in await journal.update { $0.finished.insert(Step.uploaded(file)) } })
    let tally = uploader?.tally ?? Observed(UploadTally())
    let logs = LogUploader(
      job: job.id, client: client, pool: slot.pool.path, lane: slot.pool.lane, ledger: ledger, tally: tally,
      logger: slot.log.logger(.both))
    let notes = slot.log.logger(.test)
    try await logs.upload(assets: reason.uploadsAssets ? makeAssetUploader(job, ledger, tally) : nil) {
      if let lastWords { notes.error("\(lastWords)") }
    }
  }

  private func makeAssetUploader(
    _ job: JobInfo, _ ledger: UploadLedger, _ tally: Observed<UploadTally>
  ) -> AssetUploader {
    var options = AssetUploader.Options(slot.settings.upload, for: webUI.address)
    let inputs = (job.json["assets"]?.object ?? [:]).values.flatMap { $0.array ?? [] }
    options.inputs = Set(inputs.compactMap(\.string))
    return AssetUploader(
      job: job.id, client: client, pool: slot.pool.path, lane: slot.pool.lane, options: options, ledger: ledger,
      tally: tally, logger: slot.log.logger(.both), clock: slot.clock)
  }

  /// Tells the web UI how a job ended.
  /// - Returns: its answer, with the result that it has computed; nil if it does not hear of it.
  @discardableResult
  private func setDone(_ job: Int64, _ end: JobEnd, isCertain: Bool) async -> JSON? {
    var call = WebUIClient.Call(.post, "jobs/\(job)/set_done")
    call.query = end.parameters(workerID: await workerID())
    call.expectedMember = "result"
    // After a failure of the web UI one try has to do; the next registration frees the job as well.
    if !isCertain { call.tries = 1 }
    tell(.ending)
    do {
      let answer =
        try await isCertain
        ? whenItIsBack { [call] in try await client.send(call) } : client.send(call)
      let shown = [answer["result"]?.scalar ?? end.result, end.reason].compactMap { $0 }.joined(separator: ", ")
      slot.logger.info("Job \(job) from \(webUI.address) finished - \(shown)")
      return answer
    } catch {
      slot.logger.error("The end of job \(job) could not be told to \(webUI.address): \(error)")
      return nil
    }
  }
}

extension AssetUploader.Options {
  init(_ settings: Settings.Upload, for webUI: WebUIAddress) {
    self.init()
    isLocal = settings.isLocal && webUI.isLocal
    // A chunk is in memory several times over, twice as large as the file's part that is in it.
    chunkSize = min(max(1, settings.chunkSize), AssetUploader.maximumChunkSize)
    tries = settings.tries
    delay = settings.delay
  }
}
