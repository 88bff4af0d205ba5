import Support
import Transport

/// What the cache service can be asked, and what its answers mean (protocol §9).
enum CacheQuestion: String, Sendable {
  case info, enqueue, status

  /// The object of an answer.
  /// - Throws: ``CacheServiceError`` for an answer that says no, or nothing.
  func content(of response: HTTPResponse) throws(CacheServiceError) -> JSON {
    let json = try? JSON(parsing: response.body)
    if response.status >= 400 {
      let code = CacheServiceError.Code.status(response.status)
      if let text = json?["error"]?.scalar, !text.isEmpty { throw error(code, " from API: \(text)") }
      throw error(code, " \(response.status): \(response.phrase)")
    }
    guard let json, json.object != nil else { throw error(.malformed, ": \(response.status) non-JSON response") }
    return json
  }

  /// The number of the request that `answer` says is enqueued.
  /// - Throws: ``CacheServiceError`` if there is none.
  static func request(in answer: JSON) throws(CacheServiceError) -> Int64 {
    guard let number = answer["id"]?.scalar.flatMap({ Int64($0) }), number > 0 else {
      throw enqueue.error(.malformed, ": Minion job id missing from response")
    }
    return number
  }

  /// An error of this question.
  func error(_ code: CacheServiceError.Code, _ text: String) -> CacheServiceError {
    CacheServiceError(code, "Cache service \(rawValue) error\(text)")
  }
}
