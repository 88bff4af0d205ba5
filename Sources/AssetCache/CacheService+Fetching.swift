import Configuration
import Logging
import OpenQAProtocol
import Support
package import SystemPackage
import Transport

extension CacheService {
  /// How often the log says what is waited for.
  private static let noticePeriod = Duration.seconds(10)
  /// How often a request is made that the service has forgotten.
  private static let maximumRequests = 3
  /// From one question for the state of a request to the next, at first.
  private static let firstPollDelay = Duration.milliseconds(500)
  /// The service has its files on this host: it connects soon or never.
  private static let limits = HTTPRequest.Limits(connect: .seconds(10), inactivity: .seconds(300))

  /// Lets the service bring something, and returns what it says of it in the end. The log tells what is waited for.
  /// - Throws: ``SetupFailure``, a `cache failure`, if the service cannot be asked, has too much to do, or fails;
  ///   `CancellationError`, at once.
  package func fetch(_ request: CacheRequest) async throws -> CacheReport {
    let started = ContinuousClock.now
    let state = Guarded("not asked yet")
    do {
      var report = try await withThrowingTaskGroup(of: CacheReport.self) { group in
        group.addTask { try await bring(request, state) }
        group.addTask { try await tell(of: request, state) }
        // The telling ends only by being cancelled.
        defer { group.cancelAll() }
        guard let report = try await group.next() else { throw CancellationError() }
        return report
      }
      report.seconds = (ContinuousClock.now - started).components.seconds
      return report
    } catch let cancellation as CancellationError {
      let word = state.withLock { $0 }
      logger.info("setup: no longer waiting for the cache service: \(request.name) (\(word))")
      throw cancellation
    }
  }

  /// Lets the service fetch the test code, again where that may help, and returns where it is.
  /// - Throws: as ``fetch(_:)`` does.
  package func fetchTests(from source: String, into folder: FilePath) async throws -> FilePath {
    var remainingTries = cache.syncTries
    while true {
      let report = try await fetch(.tests(source: source, folder: folder))
      if !report.output.isEmpty { logger.info("Output of rsync:\n\(report.output.loggable)") }
      switch report.sync(remainingTries: remainingTries) {
      case .done:
        logger.info("Finished to rsync tests")
        logger.info("setup: tests from \(source) are there after \(report.seconds) s")
        return folder.appending("tests")
      case .again(let problem):
        logger.info("\(problem)")
        remainingTries -= 1
      case .failed(let failure): throw failure
      }
    }
  }

  /// Says what is waited for, until it is cancelled.
  private func tell(of request: CacheRequest, _ state: Guarded<String>) async throws -> Never {
    var seconds: Int64 = 0
    while true {
      try await clock.sleep(for: CacheService.noticePeriod)
      seconds += CacheService.noticePeriod.components.seconds
      let word = state.withLock { $0 }
      logger.info("setup: waiting for the cache service: \(request.name) (\(word), \(seconds) s)")
    }
  }

  private func bring(_ request: CacheRequest, _ state: Guarded<String>) async throws -> CacheReport {
    var requests = 1
    var waited = Duration.zero
    var number = try await enqueue(request, state)
    while true {
      do {
        switch CacheStatus(try await ask(.status, state, path: "/\(number)")) {
        case .processed(let report): return report
        case .waiting(let word): state.withLock { $0 = word }
        }
      } catch let error as CacheServiceError {
        // A service that was set up anew does not know of what was asked before.
        guard error.code == .status(404), requests < CacheService.maximumRequests else {
          throw SetupFailure(.cache, error.description)
        }
        logger.warning("The cache service has forgotten request #\(number) for \(request.name): \(error); asking again")
        requests += 1
        number = try await enqueue(request, state)
        continue
      }
      // What the service has already is there in a moment; of what takes long, nobody has to know so soon.
      let delay = min(cache.pollDelay, max(CacheService.firstPollDelay, waited / 4))
      waited += delay
      try await clock.sleep(for: delay)
    }
  }

  /// Asks for something, unless the service has too much to do.
  private func enqueue(_ request: CacheRequest, _ state: Guarded<String>) async throws -> Int64 {
    do {
      if case .asset = request {
        let load = CacheLoad(try await ask(.info, state))
        if let problem = load.problem(limit: cache.maximumInactiveJobs, isInSetup: true) {
          throw SetupFailure(.cache, problem)
        }
      }
    } catch let error as CacheServiceError {
      throw SetupFailure(.cache, error.description)
    }
    do {
      let body = HTTPRequest.Body.bytes(request.body.bytes, contentType: "application/json")
      let number = try CacheQuestion.request(in: try await ask(.enqueue, state, .post, body: body))
      state.withLock { $0 = "queued" }
      logger.info("\(request.announcement), request #\(number) sent to Cache Service")
      return number
    } catch let error as CacheServiceError {
      throw SetupFailure(.cache, "Failed to send \(request.purpose): \(error)")
    }
  }

  /// Asks, again as long as the service does not answer and tries remain.
  /// - Throws: ``CacheServiceError``, `CancellationError`.
  private func ask(
    _ question: CacheQuestion, _ state: Guarded<String>, _ method: HTTPRequest.Method = .get, path: String = "",
    body: HTTPRequest.Body = .none
  ) async throws -> JSON {
    var remaining = cache.tries
    while true {
      do {
        return try await exchange(question, method, path: path, body: body, limits: CacheService.limits)
      } catch let error as CacheServiceError where error.code == .connection && remaining > 1 {
        if remaining == cache.tries {
          logger.warning(
            "\(error): trying again, \(remaining - 1) times; is the cache service running (CACHESERVICEURL)?")
        }
        remaining -= 1
        state.withLock { $0 = "no answer, \(remaining) tries remain" }
        try await clock.sleep(for: cache.retryDelay)
      }
    }
  }
}

extension String {
  /// The text for a log: the end of one that is very long, which is where problems are named.
  package var loggable: String {
    let limit = 256 << 10
    guard utf8.count > limit else { return self }
    return "(\(utf8.count - limit) bytes left out) \(String(decoding: utf8.suffix(limit), as: UTF8.self))"
  }
}
