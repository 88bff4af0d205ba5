package import Configuration
import Support
package import Transport

/// Signs requests (protocol §2): an HMAC-SHA1 over path, query and time.
package struct RequestSigner: Sendable {
  private struct Request: Sendable, Hashable {
    var target: String
    var time: Int64
  }

  private let credentials: Credentials?
  private let now: @Sendable () -> Int64
  /// A job's files go to one place, many of them in one second: their headers are the same.
  private let last = Guarded<(request: Request, headers: [HTTPHeader])?>(nil)

  /// - Parameters:
  ///   - credentials: nil for servers that run without authentication.
  ///   - now: seconds since 1970.
  package init(_ credentials: Credentials?, now: @escaping @Sendable () -> Int64) {
    self.credentials = credentials
    self.now = now
  }

  /// The headers for one try of a request to `target`, path and query as they are sent.
  package func headers(target: String) -> [HTTPHeader] {
    let request = Request(target: target, time: now())
    if let last = last.withLock({ $0 }), last.request == request { return last.headers }
    let headers = headers(request)
    last.withLock { $0 = (request, headers) }
    return headers
  }

  private func headers(_ request: Request) -> [HTTPHeader] {
    let time = String(request.time)
    var headers = [HTTPHeader("Accept", "application/json"), HTTPHeader("X-API-Microtime", time)]
    guard let credentials else { return headers }
    let message = request.target.replacing("%20", with: "+") + time
    let hash = Digest.hmacSHA1(key: Array(credentials.secret.utf8), message: Array(message.utf8))
    headers.append(HTTPHeader("X-API-Key", credentials.key))
    headers.append(HTTPHeader("X-API-Hash", hash.hexadecimal))
    return headers
  }
}
