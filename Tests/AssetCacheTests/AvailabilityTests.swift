import AssetCache
import Configuration
import HTTPServer
import Logging
import Support
import SystemPackage
import Testing
import Transport

@Suite("The cache service's availability", .timeLimit(.minutes(1)))
struct AvailabilityTests {
  static let answers: [(answer: ServerResponse, problem: String?)] = [
    (.json(["active_workers": 0, "inactive_workers": 1, "inactive_jobs": 3]), nil),
    (.json(["active_workers": "1", "inactive_workers": 0, "inactive_jobs": "5"]), nil),
    (.json(["active_workers": 1]), nil),
    (.json(["active_workers": 1, "inactive_jobs": 6]), "Cache service queue already full (5)"),
    (.json(["active_workers": 0, "inactive_workers": 0]), "No workers active in the cache service"),
    (.json([:]), "No workers active in the cache service"),
    (.json(["error": "it is late"], status: 500), "Cache service info error from API: it is late"),
    (.json(["error": ""], status: 404), "Cache service info error 404: Not Found"),
    (.text("<html>", status: 503), "Cache service info error 503: Service Unavailable"),
    (.text("<html>"), "Cache service info error: 200 non-JSON response"),
    (.json(text: #"{"active_wor"#), "Cache service info error: 200 non-JSON response"),
    (.json(text: "[1]"), "Cache service info error: 200 non-JSON response"),
    (.text("", status: 302), "Cache service info error: 302 non-JSON response"),
  ]

  @Test("what it answers, what the slot says", arguments: answers)
  func answer(_ example: (answer: ServerResponse, problem: String?)) async throws {
    let asked = Guarded<[String]>([])
    let problem = try await AvailabilityTests.problem { request in
      asked.withLock { $0.append("\(request.method) \(request.target)") }
      return example.answer
    }
    #expect(problem == example.problem)
    #expect(asked.withLock { $0 } == ["GET /info"], "one try")
  }

  @Test("a limit of -1 is none")
  func unlimited() async throws {
    let problem = try await AvailabilityTests.problem(limit: -1) { _ in
      .json(["active_workers": 1, "inactive_jobs": 5000])
    }
    #expect(problem == nil)
  }

  @Test("nobody there: one try, and the address")
  func nobody() async throws {
    let http = try HTTPClient()
    var cache = Settings.Cache(directory: "/cache")
    cache.serviceURL = "http://127.0.0.1:1"
    let problem = await CacheService(cache, http: http, logger: Logger(label: "test")).availability()
    #expect(problem?.hasPrefix("Cache service info error: 127.0.0.1:1: ") == true, "\(problem ?? "")")
    await http.shutdown()
  }

  static func problem(limit: Int = 5, _ answer: @escaping WebServer.Handler) async throws -> String? {
    let http = try HTTPClient()
    let problem = try await WebServer.with(handler: answer) { server in
      var cache = Settings.Cache(directory: "/cache")
      cache.serviceURL = "http://127.0.0.1:\(server.port)/"
      cache.maximumInactiveJobs = limit
      return await CacheService(cache, http: http, logger: Logger(label: "test")).availability()
    }
    await http.shutdown()
    return problem
  }
}
