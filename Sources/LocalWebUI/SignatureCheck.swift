import HTTPServer
import Support

/// Checks that a request was signed with a known key (protocol §2).
struct SignatureCheck: Sendable {
  /// The largest age of a signature, in seconds.
  private static let tolerance: Int64 = 300

  let key: String
  let secret: String
  /// Seconds since 1970.
  let now: @Sendable () -> Int64

  /// Why the request is refused; nil if it is signed well.
  func refusal(of request: ServerRequest) -> String? {
    guard let name = request.headers["X-API-Key"], !name.isEmpty else { return "no api key" }
    guard name == key else { return "Not authorized" }
    // A missing time is long past; one in the future is no problem.
    let text = request.headers["X-API-Microtime"] ?? ""
    guard Double(now()) - JSON.string(text).looseNumber <= Double(SignatureCheck.tolerance) else {
      return "timestamp mismatch"
    }
    let message = request.target.replacing("%20", with: "+") + text
    let expected = Digest.hmacSHA1(key: Array(secret.utf8), message: Array(message.utf8)).hexadecimal
    return request.headers["X-API-Hash"] == expected ? nil : "unknown error (wrong secret?)"
  }
}
