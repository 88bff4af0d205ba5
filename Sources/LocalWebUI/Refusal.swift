import HTTPServer
import Support

/// A refusal of a request, with the status and text that a real openQA answers.
struct Refusal: Error, Sendable, Hashable {
  var status: Int
  /// The text of the member `error`; `nil` where openQA gives none, as for paths that it does not know and for its own failures.
  var error: String?

  init(_ status: Int, _ error: String?) {
    self.status = status
    self.error = error
  }

  /// A refusal of parameters that are missing or invalid.
  /// - Parameter problems: the parameters' names and what is wrong with each.
  init(parameters problems: [String: ParameterProblem]) {
    let list = problems.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.rawValue)" }
    self.init(400, "Erroneous parameters (\(list.joined(separator: ", ")))")
  }

  /// A problem with a parameter.
  enum ParameterProblem: String { case missing, invalid }

  /// openQA's answer to a path that it does not know.
  static let unknownPath = Refusal(404, nil)
  /// openQA's answer to a request on which its own code fails.
  static let internalError = Refusal(500, nil)

  /// The response to `request`. Clients that want JSON get the status in the body as well.
  func response(to request: ServerRequest) -> ServerResponse {
    let accepted = request.headers["Accept"] ?? ""
    var body: JSON = [:]
    if let error { body["error"] = .string(error) }
    if accepted.contains("json"), !accepted.contains("html") { body["error_status"] = .integer(Int64(status)) }
    return .json(body, status: status)
  }
}
