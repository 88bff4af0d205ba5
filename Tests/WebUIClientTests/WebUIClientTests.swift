import Configuration
import HTTPServer
import Logging
import Support
import SystemPackage
import Testing
import Transport
import WebUIClient

@Suite("REST calls", .timeLimit(.minutes(1)))
struct WebUIClientTests {
  /// A server that answers one call after the other from a list, the last for ever, and what it was asked.
  final class Scripted: Sendable {
    let answers: Guarded<[ServerResponse]>
    let requests = Guarded<[(method: String, target: String, headers: HeaderFields)]>([])
    init(_ answers: [ServerResponse]) { self.answers = Guarded(answers) }

    @Sendable func respond(_ request: ServerRequest) async throws -> ServerResponse {
      requests.withLock { $0.append((request.method, request.target, request.headers)) }
      return answers.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
    }

    var targets: [String] { requests.withLock { $0.map { "\($0.method) \($0.target)" } } }
  }

  func client(_ port: Int, tries: Int = 3, credentials: Credentials? = nil) throws -> (WebUIClient, HTTPClient) {
    let http = try HTTPClient()
    let address = try WebUIAddress("http://127.0.0.1:\(port)")
    let retry = Settings.Retry(tries: tries, delay: .zero, delayIfBusy: .zero)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let client = WebUIClient(
      address, credentials: credentials, http: http, retry: retry, logger: logger, now: { 1_700_000_000 })
    return (client, http)
  }

  func run<Result: Sendable>(
    _ answers: [ServerResponse], tries: Int = 3, credentials: Credentials? = nil,
    _ body: @Sendable (WebUIClient, Scripted) async throws -> Result
  ) async throws -> Result {
    let scripted = Scripted(answers)
    let server = try await WebServer.start(handler: scripted.respond)
    let (client, http) = try client(server.port, tries: tries, credentials: credentials)
    do {
      let result = try await body(client, scripted)
      await http.shutdown()
      await server.stop()
      return result
    } catch {
      await http.shutdown()
      await server.stop()
      throw error
    }
  }

  struct Failure: Sendable, CustomTestStringConvertible {
    var answer: ServerResponse
    var words: String
    var tries: Int
    var testDescription: String { words }
  }

  static let failures: [Failure] = [
    Failure(answer: .json(["error": "no such job"], status: 404), words: "404 response: no such job", tries: 1),
    Failure(answer: .text("x", status: 400), words: "400 response: Bad Request", tries: 1),
    Failure(answer: .text("<html>", status: 500), words: "500 response: Internal Server Error", tries: 3),
    Failure(answer: .text("x", status: 503), words: "503 response: Service Unavailable", tries: 3),
    Failure(answer: .text("x", status: 408), words: "408 response: Request Timeout", tries: 3),
    Failure(
      answer: .json(["error": "Failed modules: a"], status: 490), words: "490 response: Failed modules: a", tries: 3),
    Failure(answer: .text("<html>", status: 200), words: "200 response: not JSON: '<html>'", tries: 3),
  ]

  @Test("failures in words, repeated as long as that may help", arguments: failures)
  func failure(_ example: Failure) async throws {
    try await run([example.answer]) { client, server in
      do {
        try await client.send(.init(.post, "jobs/1/status"))
        Issue.record("no error")
      } catch let error as WebUIError {
        #expect(error.description == example.words)
      }
      #expect(server.targets == Array(repeating: "POST /api/v1/jobs/1/status", count: example.tries))
    }
  }

  @Test("what fails once is done by the second try")
  func recovery() async throws {
    let json = try await run([.text("x", status: 502), .json(["result": 1])]) { client, _ in
      try await client.send(.init(.post, "jobs/1/status"))
    }
    #expect(json == ["result": 1])
  }

  @Test("an answer that need not be JSON")
  func plain() async throws {
    let json = try await run([.text("OK")]) { client, _ in
      var call = WebUIClient.Call(.post, "jobs/1/artefact")
      call.expectsJSON = false
      return try await client.send(call)
    }
    #expect(json == .null)
  }

  @Test("an answer that somebody else has given is found out, and asked for again")
  func foreign() async throws {
    try await run([.json(["wrong": true]), .json(["result": nil])]) { client, server in
      var call = WebUIClient.Call(.post, "jobs/1/set_done")
      call.expectedMember = "result"
      let answer = try await client.send(call)
      #expect(answer == ["result": nil])
      #expect(server.targets.count == 2)
    }
    try await run([.json(["wrong": true])], tries: 2) { client, _ in
      var call = WebUIClient.Call(.post, "jobs/1/set_done")
      call.expectedMember = "result"
      let error = await #expect(throws: WebUIError.self) { try await client.send(call) }
      #expect(error?.description == #"200 response: not the web UI's answer: '{"wrong":true}'"#)
    }
  }

  @Test("nobody there")
  func nobody() async throws {
    let (client, http) = try client(1)
    do {
      try await client.send(.init(.get, "workers"))
      Issue.record("no error")
    } catch let error as WebUIError {
      #expect(error.description.hasPrefix("Connection error: ") && error.description.contains("127.0.0.1:1"))
      #expect(error.code == .connection(isTimeout: false))
    }
    await http.shutdown()
  }

  @Test("a file that is not there is nobody else's fault: no second try")
  func missingFile() async throws {
    try await run([.text("OK")]) { client, server in
      var call = WebUIClient.Call(.post, "jobs/1/artefact")
      call.body = .multipart([MultipartPart(name: "file", filename: "x", content: .file("/nowhere/x"))])
      do {
        try await client.send(call)
        Issue.record("no error")
      } catch let error as WebUIError {
        #expect(error.code == .unsendable && error.description.contains("/nowhere/x"))
      }
    }
  }

  @Test("each try is signed for where it goes, after a redirect too")
  func signing() async throws {
    let credentials = Credentials(key: "K", secret: "S")
    try await run(
      [.redirect(to: "/api/v1/other?a=b+c"), .json([:])], credentials: credentials
    ) { client, server in
      var call = WebUIClient.Call(.post, "jobs")
      call.query = [("reason", "a b: ü/+"), ("x", "")]
      try await client.send(call)
      #expect(server.targets == ["POST /api/v1/jobs?reason=a+b%3A+%C3%BC%2F%2B&x=", "POST /api/v1/other?a=b+c"])
      for (_, target, headers) in server.requests.withLock({ $0 }) {
        let expected = Digest.hmacSHA1(key: Array("S".utf8), message: Array("\(target)1700000000".utf8)).hexadecimal
        #expect(headers["X-API-Key"] == "K" && headers["X-API-Microtime"] == "1700000000")
        #expect(headers["X-API-Hash"] == expected && headers["Accept"] == "application/json")
      }
    }
  }

  @Test("redirects in a circle end")
  func circle() async throws {
    try await run([.redirect(to: "/api/v1/jobs")], tries: 1) { client, server in
      await #expect(throws: WebUIError.self) { try await client.send(.init(.get, "jobs")) }
      #expect(server.targets.count == 4)
    }
  }

  @Test("the web UI says where it wants to be called")
  func located() async throws {
    try await run([.redirect(to: "https://elsewhere.example:4443/x", status: 301)]) { client, server in
      try await client.locate(within: .seconds(30))
      #expect(client.origin == "https://elsewhere.example:4443")
      #expect(server.targets == ["HEAD /api/v1/workers?limit=0"])
    }
    try await run([.json([:])]) { client, _ in
      try await client.locate(within: .seconds(30))
      #expect(client.origin == client.address.origin)
    }
  }

  @Test(
    "URLs",
    arguments: [
      ("/a?b", "http://h:1/a?b"), ("//o/p", "http://o/p"), ("https://o:2", "https://o:2"), ("z?q", "http://h:1/x/z?q"),
    ])
  func absolute(location: String, expected: String) {
    #expect(WebUIClient.absolute(location, from: "http://h:1/x/y?q=/z") == expected)
    #expect(WebUIClient.target(of: "http://h:1") == "/")
    #expect(WebUIClient.target(of: "http://h:1?a#b") == "/?a")
  }

  @Test(
    "a distance to the live handler's port that makes no port changes nothing",
    arguments: [Int.max, .min, 65536, -81, -80])
  func farBeside(delta: Int) { #expect(WebUIClient.origin("http://h:80", plus: delta) == "http://h:80") }

  @Test(
    "services beside the web UI",
    arguments: [
      ("http://h:80", "http://h:82"), ("http://h", "http://h"), ("https://[::1]", "https://[::1]"),
      ("https://[::1]:443", "https://[::1]:445"),
    ])
  func beside(origin: String, expected: String) {
    #expect(WebUIClient.origin(origin, plus: 2) == expected && WebUIClient.origin(origin, plus: 0) == origin)
  }
}
