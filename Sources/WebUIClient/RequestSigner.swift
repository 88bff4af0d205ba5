package import Configuration
import Support
package import Transport

/// Signs requests (protocol §2): an HMAC-SHA1 over path, query and time.
package struct RequestSigner: Sendable {
  private let credentials: Credentials?
  private let now: @Sendable () -> Int64

  /// - Parameters:
  ///   - credentials: nil for servers that run without authentication.
  ///   - now: seconds since 1970.
  package init(_ credentials: Credentials?, now: @escaping @Sendable () -> Int64) {
    self.credentials = credentials
    self.now = now
  }

  /// The headers for one try of a request to `target`, path and query as they are sent.
  package func headers(target: String) -> [HTTPHeader] {
    let time = String(now())
    var headers = [HTTPHeader("Accept", "application/json"), HTTPHeader("X-API-Microtime", time)]
    guard let credentials else { return headers }
    let path = target.utf8.contains(UInt8(ascii: "%")) ? target.replacing("%20", with: "+") : target
    let message = path + time
    let hash = Digest.hmacSHA1(key: Array(credentials.secret.utf8), message: Array(message.utf8))
    headers.append(HTTPHeader("X-API-Key", credentials.key))
    headers.append(HTTPHeader("X-API-Hash", hash.hexadecimal))
    return headers
  }
}
