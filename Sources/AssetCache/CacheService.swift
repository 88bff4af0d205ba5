package import Configuration
package import Logging
import Support
package import Transport

/// The service on this host that keeps a web UI's assets and test code (protocol §9): its client.
package struct CacheService: Sendable {
  /// How long a slot waits to hear whether the service works: meanwhile it says nothing to its web UIs.
  private static let availabilityLimit = Duration.seconds(10)

  let cache: Settings.Cache
  let http: HTTPClient
  let logger: Logger
  let clock: any Clock<Duration> & Sendable

  /// - Parameter logger: hears what a set-up waits for.
  package init(
    _ cache: Settings.Cache, http: HTTPClient, logger: Logger,
    clock: any Clock<Duration> & Sendable = DeadlineClock()
  ) {
    self.cache = cache
    self.http = http
    self.logger = logger
    self.clock = clock
  }

  /// Why no job shall be taken now, in the words that web UIs show; nil if nothing is in the way. One try, ten seconds at
  /// most. A cancelled task hears of no problem.
  package func availability() async -> String? {
    var limits = HTTPRequest.Limits()
    limits.total = CacheService.availabilityLimit
    do {
      let info = try await exchange(.info, limits: limits)
      return CacheLoad(info).problem(limit: cache.maximumInactiveJobs, isInSetup: false)
    } catch let error as CacheServiceError {
      return error.description
    } catch {
      return nil
    }
  }

  /// Asks once.
  /// - Throws: ``CacheServiceError``, `CancellationError`.
  func exchange(
    _ question: CacheQuestion, _ method: HTTPRequest.Method = .get, path: String = "",
    body: HTTPRequest.Body = .none, limits: HTTPRequest.Limits
  ) async throws -> JSON {
    let base = cache.serviceURL.hasSuffix("/") ? String(cache.serviceURL.dropLast()) : cache.serviceURL
    let request = HTTPRequest(method, "\(base)/\(question.rawValue)\(path)", body: body, limits: limits)
    do {
      return try question.content(of: try await http.send(request))
    } catch let error as TransportError {
      let isFinal = [.badURL, .responseTooLarge, .shutDown].contains(error.code)
      throw question.error(isFinal ? .malformed : .connection, ": \(error.message)")
    }
  }
}
