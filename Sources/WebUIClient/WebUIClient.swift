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
    /// A member that each answer of the web UI has: one without it comes from somebody between.
    package var expectedMember: String?
    package var lane = HTTPClient.Lane.control
    /// Nil for as often as is configured.
    package var tries: Int?
    /// How long one try may take, at most; ``Settings/Retry`` may allow less.
    package var limits = HTTPRequest.Limits()
    /// Added to the port of the web UI's address, if that names one: its other services are beside it.
    package var portDelta = 0

    package init(_ method: HTTPRequest.Method, _ path: String) {
      self.method = method
      self.path = path
    }
  }

  /// What all calls to the web UI share, those of running jobs, too.
  private struct Standing: Sendable {
    var origin: String
    /// Since when there was no answer but those that ask for another try.
    var failingSince: ContinuousClock.Instant?
  }

  /// Redirects of one try that are followed.
  private static let maximumRedirects = 3
  /// A file may take that long as long as some of it moves, and a part of it at least as fast as ``slowest``.
  private static let longestTransfer = Duration.seconds(86400)
  /// Bytes a second, below which no upload is worth its place.
  private static let slowest = 4096
  /// What a try may take when all others have failed for too long.
  private static let lastTry = Duration.seconds(60)

  package let address: WebUIAddress
  private let standing: Guarded<Standing>
  package let signer: RequestSigner
  private let http: HTTPClient
  private let retry: Settings.Retry
  /// Seconds since 1970.
  package let now: @Sendable () -> Int64
  private let clock: any Clock<Duration>
  private let uploads: UploadBudget
  private let logger: Logger

  /// - Parameter uploads: the places for calls that upload files; slots with the same web UI share them.
  package init(
    _ address: WebUIAddress, credentials: Credentials?, http: HTTPClient, retry: Settings.Retry,
    uploads: UploadBudget = UploadBudget(4), logger: Logger,
    clock: any Clock<Duration> = DeadlineClock(),
    now: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
  ) {
    self.address = address
    standing = Guarded(Standing(origin: address.origin))
    signer = RequestSigner(credentials, now: now)
    self.http = http
    self.retry = retry
    self.uploads = uploads
    self.now = now
    self.clock = clock
    self.logger = logger
  }

  /// Where calls go: the address's own, or where the web UI says it has moved to.
  package var origin: String { standing.withLock { $0.origin } }

  /// How many files to have in hand at a time: those that are sent, at most, and as many again, so that the next is ready
  /// when one has arrived.
  package var uploadsInHand: Int { 2 * uploads.maximum }

  /// How long the web UI may be silent in the middle of a call.
  package var inactivity: Duration { retry.inactivity }

  /// Makes a call, again as long as that may help and tries remain, and returns the answer: null where it need not be JSON
  /// and is not.
  ///
  /// There is a limit for all tries together, ``Settings/Retry/limit``. Calls that fail one after the other have one
  /// limit: once it has passed, each has a single short try until the web UI answers again. A file that is sent may take
  /// longer as long as it moves.
  /// - Throws: ``WebUIError``, the last one; `CancellationError`.
  @discardableResult
  package func send(_ call: Call) async throws -> JSON {
    var remaining = call.tries ?? retry.tries
    let begin = ContinuousClock.now
    while true {
      let deadline = min(standing.withLock { $0.failingSince } ?? begin, begin) + retry.limit
      do {
        let answer = try await attempt(limited(call, by: deadline))
        if call.portDelta == 0 { standing.withLock { $0.failingSince = nil } }
        return answer
      } catch let error as WebUIError {
        if call.portDelta == 0 {
          standing.withLock { $0.failingSince = error.isTemporary ? $0.failingSince ?? begin : nil }
        }
        let wait = error.isBusy ? retry.delayIfBusy : retry.delay
        let isOver = ContinuousClock.now + wait >= deadline
        remaining = error.isTemporary && !isOver ? remaining - 1 : 0
        logger.error(
          "REST-API error (\(call.method.rawValue) \(url(of: call))): \(error.advice) (remaining tries: \(remaining))")
        guard remaining > 0 else { throw error }
        try await clock.sleep(for: wait)
      }
    }
  }

  /// The call with limits for its next try.
  private func limited(_ call: Call, by deadline: ContinuousClock.Instant) -> Call {
    let left = max(ContinuousClock.now.duration(to: deadline), min(WebUIClient.lastTry, retry.limit))
    var call = call
    call.limits.connect = min(call.limits.connect, left)
    call.limits.inactivity = min(call.limits.inactivity, retry.inactivity, left)
    if call.lane == .bulk {
      call.limits.total = min(call.limits.total ?? call.limits.inactivity, WebUIClient.longestTransfer)
      call.limits.slowest = WebUIClient.slowest
    } else {
      call.limits.total = min(call.limits.total ?? left, left)
    }
    return call
  }

  /// One try of a call.
  private func attempt(_ call: Call) async throws -> JSON {
    let sent = now()
    let response = try await exchange(call)
    let json = try? JSON(parsing: response.body)
    guard (200..<300).contains(response.status) else {
      let text = json?["error"]?.scalar ?? response.phrase
      var error = WebUIError(.status(response.status), "\(response.status) response: \(text)")
      let received = now()
      error.retryAfter = response.header("Retry-After").flatMap { HTTPDate.wait(retryAfter: $0, now: received) }
      error.clockDifference = ClockDifference(date: response.header("Date"), sent: sent, received: received)
      throw error
    }
    let isWhole = call.expectedMember.map { json?[$0] != nil } ?? (json != nil)
    if isWhole || !call.expectsJSON { return json ?? .null }
    let problem = json.map { _ in "not the web UI's answer" } ?? "not JSON"
    let text = String(decoding: response.body.prefix(100), as: UTF8.self)
    throw WebUIError(.notJSON, "\(response.status) response: \(problem): '\(text)'")
  }

  /// Sends a request, signed for where it goes, and follows redirects.
  private func exchange(_ call: Call) async throws -> HTTPResponse {
    var method = call.method
    var url = url(of: call)
    var body = call.body
    for _ in 0...WebUIClient.maximumRedirects {
      var request = HTTPRequest(
        method, url, headers: signer.headers(target: WebUIClient.target(of: url)), body: body, limits: call.limits)
      if call.lane == .bulk { request.concurrency = uploads }
      let response = try await answer(to: request, on: call.lane)
      guard (300..<400).contains(response.status), let location = response.header("Location") else { return response }
      url = try WebUIClient.destination(location, from: url)
      if response.status == 303 {
        method = .get
        body = .none
      }
      logger.debug("\(method.rawValue) is redirected to \(url)")
    }
    throw WebUIError(.connection(isTimeout: false), "Connection error: too many redirects, the last to \(url)")
  }

  /// Asks where the web UI wants to be called, which may be another scheme, host or port than configured: all calls go
  /// there from now on.
  /// - Parameter limit: how long the answer may take.
  /// - Returns: how far the clocks are apart, if that is worth a word.
  /// - Throws: ``WebUIError``, `CancellationError`.
  @discardableResult
  package func locate(within limit: Duration) async throws -> ClockDifference? {
    let url = "\(address.origin)/api/v1/workers?limit=0"
    var limits = HTTPRequest.Limits()
    limits.total = limit
    limits.inactivity = min(limits.inactivity, inactivity)
    let sent = now()
    let request = HTTPRequest(
      .head, url, headers: signer.headers(target: WebUIClient.target(of: url)), limits: limits)
    let response = try await answer(to: request, on: .control)
    var found = address.origin
    if (300..<400).contains(response.status), let location = response.header("Location") {
      found = WebUIClient.origin(of: try WebUIClient.destination(location, from: url))
    }
    let isNew = standing.withLock { standing in
      defer { standing.origin = found }
      return standing.origin != found
    }
    if isNew, found != address.origin { logger.warning("\(address) redirects to \(found): that is called instead") }
    return ClockDifference(date: response.header("Date"), sent: sent, received: now())
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
    let origin = WebUIClient.origin(origin, plus: call.portDelta)
    return call.query.isEmpty ? origin + path : "\(origin)\(path)?\(Query.text(call.query))"
  }

  // MARK: URLs, as far as signing and redirects need them

  /// `scheme://host:port` of an absolute URL.
  static func origin(of url: String) -> String {
    let bytes = url.utf8
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), bytes[colon...].starts(with: "://".utf8) else {
      return url
    }
    let authority = bytes[colon...].dropFirst(3).prefix { !"/?#".utf8.contains($0) }
    return String(url[..<authority.endIndex])
  }

  /// The origin with another port, if it names one, and if that makes a port.
  package static func origin(_ origin: String, plus portDelta: Int) -> String {
    guard portDelta != 0, let colon = origin.lastIndex(of: ":"),
      let port = Int(origin[origin.index(after: colon)...])?.addingSaturating(portDelta), (1...65535).contains(port)
    else { return origin }
    return "\(origin[..<colon]):\(port)"
  }

  /// Path and query of an absolute URL.
  package static func target(of url: String) -> String {
    let target = Substring(url.utf8.dropFirst(origin(of: url).utf8.count).prefix { $0 != UInt8(ascii: "#") })
    return target.hasPrefix("/") ? String(target) : "/\(target)"
  }

  /// Where a redirect leads.
  /// - Throws: ``WebUIError`` if nothing can be called there. It may be mended by the next try.
  private static func destination(_ location: String, from url: String) throws(WebUIError) -> String {
    let target = absolute(location, from: url)
    if ["http", "https"].contains(target.prefix { $0 != ":" }.lowercased()), !origin(of: target).hasSuffix("//"),
      target.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f })
    {
      return target
    }
    throw WebUIError(
      .connection(isTimeout: false), "Connection error: \(url) redirects to '\(location)', which is no URL")
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
