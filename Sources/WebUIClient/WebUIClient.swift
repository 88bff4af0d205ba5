package import Configuration
import Glibc
package import Logging
package import Support
package import Transport

/// Signed REST calls to one web UI (protocol §2): redirects, retries, errors in words.
package struct WebUIClient: Sendable {
  /// A call to make.
  package struct Call: Sendable {
    package var method: HTTPRequest.Method
    /// Below `/api/v1/`, or absolute with a leading `/`.
    package var path: String
    package var query: [(name: String, value: String)] = []
    package var body = HTTPRequest.Body.none
    /// Whether an answer that is no JSON is a failure.
    package var expectsJSON = true
    package var lane = HTTPClient.Lane.control
    /// Nil for as often as is configured.
    package var tries: Int?
    /// How long one try may take.
    package var limits = HTTPRequest.Limits()

    package init(_ method: HTTPRequest.Method, _ path: String) {
      self.method = method
      self.path = path
    }
  }

  /// Redirects of one try that are followed.
  private static let maximumRedirects = 3

  package let address: WebUIAddress
  /// Where calls go: the address's own, or where the web UI says it has moved to.
  package private(set) var origin: String
  package let signer: RequestSigner
  private let http: HTTPClient
  private let retry: Settings.Retry
  private let clock: any Clock<Duration>
  private let logger: Logger

  package init(
    _ address: WebUIAddress, credentials: Credentials?, http: HTTPClient, retry: Settings.Retry, logger: Logger,
    clock: any Clock<Duration> = ContinuousClock(),
    now: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
  ) {
    self.address = address
    origin = address.origin
    signer = RequestSigner(credentials, now: now)
    self.http = http
    self.retry = retry
    self.clock = clock
    self.logger = logger
  }

  /// Makes a call, again as long as that may help and tries remain, and returns the answer: null where it need not be JSON
  /// and is not.
  /// - Throws: ``WebUIError``, the last one; `CancellationError`.
  @discardableResult
  package func send(_ call: Call) async throws -> JSON {
    var remaining = call.tries ?? retry.tries
    while true {
      do {
        return try await attempt(call)
      } catch let error as WebUIError {
        remaining = error.isTemporary ? remaining - 1 : 0
        logger.error(
          "REST-API error (\(call.method.rawValue) \(url(of: call))): \(error) (remaining tries: \(remaining))")
        guard remaining > 0 else { throw error }
        try await clock.sleep(for: error.isBusy ? retry.delayIfBusy : retry.delay)
      }
    }
  }

  /// One try of a call.
  private func attempt(_ call: Call) async throws -> JSON {
    let response = try await exchange(call)
    let json = try? JSON(parsing: response.body)
    guard (200..<300).contains(response.status) else {
      let text = json?["error"]?.scalar ?? response.phrase
      throw WebUIError(.status(response.status), "\(response.status) response: \(text)")
    }
    if let json { return json }
    guard call.expectsJSON else { return .null }
    throw WebUIError(
      .notJSON, "\(response.status) response: not JSON: '\(String(decoding: response.body.prefix(100), as: UTF8.self))'"
    )
  }

  /// Sends a request, signed for where it goes, and follows redirects.
  private func exchange(_ call: Call) async throws -> HTTPResponse {
    var method = call.method
    var url = url(of: call)
    var body = call.body
    for _ in 0...WebUIClient.maximumRedirects {
      let request = HTTPRequest(
        method, url, headers: signer.headers(target: WebUIClient.target(of: url)), body: body, limits: call.limits)
      let response = try await answer(to: request, on: call.lane)
      guard (300..<400).contains(response.status), let location = response.header("Location") else { return response }
      url = WebUIClient.absolute(location, from: url)
      if response.status == 303 {
        method = .get
        body = .none
      }
      logger.debug("\(method.rawValue) is redirected to \(url)")
    }
    throw WebUIError(.connection(isTimeout: false), "Connection error: too many redirects, the last to \(url)")
  }

  /// Asks where the web UI wants to be called, which may be another scheme, host or port than configured.
  /// - Parameter limit: how long the answer may take.
  /// - Returns: the client for that place.
  /// - Throws: ``WebUIError``, `CancellationError`.
  package func located(within limit: Duration) async throws -> WebUIClient {
    var client = self
    client.origin = address.origin
    let url = "\(client.origin)/api/v1/workers?limit=0"
    var limits = HTTPRequest.Limits()
    limits.total = limit
    let request = HTTPRequest(
      .head, url, headers: signer.headers(target: WebUIClient.target(of: url)), limits: limits)
    let response = try await answer(to: request, on: .control)
    if (300..<400).contains(response.status), let location = response.header("Location") {
      client.origin = WebUIClient.origin(of: WebUIClient.absolute(location, from: url))
      if client.origin != origin { logger.warning("\(address) redirects to \(client.origin): that is called instead") }
    }
    return client
  }

  private func answer(to request: HTTPRequest, on lane: HTTPClient.Lane) async throws -> HTTPResponse {
    do {
      return try await http.send(request, on: lane)
    } catch let error as TransportError {
      throw switch error.code {
      case .file, .badURL, .shutDown: WebUIError(.unsendable, error.message)
      default: WebUIError(.connection(isTimeout: error.code == .timedOut), "Connection error: \(error.message)")
      }
    }
  }

  private func url(of call: Call) -> String {
    let path = call.path.hasPrefix("/") ? call.path : "/api/v1/\(call.path)"
    return call.query.isEmpty ? origin + path : "\(origin)\(path)?\(Query.text(call.query))"
  }

  // MARK: URLs, as far as signing and redirects need them

  /// `scheme://host:port` of an absolute URL.
  static func origin(of url: String) -> String {
    guard let scheme = url.firstRange(of: "://") else { return url }
    let authority = url[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    return String(url[..<authority.endIndex])
  }

  /// Path and query of an absolute URL.
  package static func target(of url: String) -> String {
    let target = url.dropFirst(origin(of: url).count).prefix { $0 != "#" }
    return target.hasPrefix("/") ? String(target) : "/\(target)"
  }

  /// The absolute URL that a Location header of an answer from `url` means.
  package static func absolute(_ location: String, from url: String) -> String {
    if location.contains("://") { return location }
    if location.hasPrefix("//") { return "\(url.prefix { $0 != ":" }):\(location)" }
    if location.hasPrefix("/") { return origin(of: url) + location }
    let folder = target(of: url).prefix { $0 != "?" }
    return origin(of: url) + folder[...(folder.lastIndex(of: "/") ?? folder.startIndex)] + location
  }
}
