import HTTPServer
import Support

/// Checks that a request was signed with a known key (protocol §2).
struct SignatureCheck: Sendable {
  /// Seconds that clocks may differ.
  private static let tolerance: Int64 = 300

  let key: String
  let secret: String
  /// Seconds since 1970.
  let now: @Sendable () -> Int64

  /// Why the request is refused; nil if it is signed well.
  func refusal(of request: ServerRequest) -> String? {
    guard request.headers["X-API-Key"] == key else { return "api key is missing or unknown" }
    guard let text = request.headers["X-API-Microtime"], let time = Int64(text) else { return "timestamp is missing" }
    guard abs(now() - time) <= SignatureCheck.tolerance else { return "timestamp mismatch" }
    let message = request.target.replacing("%20", with: "+") + text
    let expected = Digest.hmacSHA1(key: Array(secret.utf8), message: Array(message.utf8)).hexadecimal
    return request.headers["X-API-Hash"] == expected ? nil : "hash does not match"
  }
}
