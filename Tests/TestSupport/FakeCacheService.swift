package import HTTPServer
package import Support

/// A cache service that brings what a test says.
package final class FakeCacheService: Sendable {
  /// What becomes of a request: the answer to `GET /status/N` once it is processed. It may put files into the cache.
  package typealias Bringing = @Sendable (_ request: JSON) async throws -> JSON

  private struct State {
    var requests: [JSON] = []
    var asked: [String] = []
    var results: [Int: JSON] = [:]
    var polls: [Int: Int] = [:]
    var answers: [String: [@Sendable () async throws -> ServerResponse]] = [:]
  }

  private let state = Guarded(State())
  private let bring: Bringing
  private let polls: Int
  private let server = Latch<WebServer>()

  private init(polls: Int, _ bring: @escaping Bringing) {
    self.polls = polls
    self.bring = bring
  }

  /// Starts to serve on a port that the system chooses.
  /// - Parameter polls: how often a request is still under way when it is asked for.
  package static func start(
    polls: Int = 1, _ bring: @escaping Bringing = { _ in ["status": "processed"] }
  ) async throws -> FakeCacheService {
    let service = FakeCacheService(polls: polls, bring)
    // The service has the server: it would never be gone if the server had it.
    let server = try await WebServer.start { [weak service] request in
      guard let service else { return .json(["error": "it is gone"], status: 503) }
      return try await service.respond(to: request)
    }
    service.server.open(with: server)
    return service
  }

  /// Where it listens.
  package var url: String { server.value.map { "http://127.0.0.1:\($0.port)" } ?? "" }
  /// The bodies of `POST /enqueue`, in order.
  package var requests: [JSON] { state.withLock { $0.requests } }
  /// `METHOD /path` of everything it was asked.
  package var asked: [String] { state.withLock { $0.asked } }

  /// Answers the next question of `target`, such as `GET /info`, in another way.
  package func answerOnce(_ target: String, _ answer: @escaping @Sendable () async throws -> ServerResponse) {
    state.withLock { $0.answers[target, default: []].append(answer) }
  }

  /// Closes every connection.
  package func stop() async { await server.value?.stop() }

  private func respond(to request: ServerRequest) async throws -> ServerResponse {
    let target = "\(request.method) \(request.path)"
    let other = state.withLock { state -> (@Sendable () async throws -> ServerResponse)? in
      state.asked.append(target)
      guard let first = state.answers[target]?.first else { return nil }
      state.answers[target]?.removeFirst()
      return first
    }
    if let other { return try await other() }
    if target == "GET /info" { return .json(["active_workers": 0, "inactive_workers": 1, "inactive_jobs": 0]) }
    if target == "POST /enqueue" {
      let wanted = try JSON(parsing: try await request.body.collect())
      let number = state.withLock { state in
        state.requests.append(wanted)
        return state.requests.count
      }
      let result = try await bring(wanted)
      state.withLock { $0.results[number] = result }
      return .json(["status": "downloading", "id": .integer(Int64(number))])
    }
    guard let number = request.path.split(separator: "/").last.flatMap({ Int($0) }),
      let result = state.withLock({ $0.results[number] })
    else { return .json(["error": "Specified job ID is invalid"], status: 404) }
    let count = state.withLock { state in
      state.polls[number, default: 0] += 1
      return state.polls[number, default: 0]
    }
    return .json(count > polls ? result : ["status": "downloading"])
  }
}
