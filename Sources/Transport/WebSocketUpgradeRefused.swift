/// The server answered the upgrade with something else than 101. Redirects arrive here too: they are never followed.
public struct WebSocketUpgradeRefused: Error, Sendable, CustomStringConvertible {
  /// Host and port that answered.
  public var host: String
  /// The status code.
  public var status: Int
  /// Of the answer's headers those that tell what to do: `Location`, `Retry-After`, `Content-Type`, `WWW-Authenticate`,
  /// `Date`.
  public var headers: [HTTPHeader]

  /// Makes a refusal.
  public init(host: String, status: Int, headers: [HTTPHeader] = []) {
    self.host = host
    self.status = status
    self.headers = headers
  }

  /// The value of the first header called `name`, in any case.
  public func header(_ name: String) -> String? { headers.first(name) }

  /// One line for the log.
  public var description: String { "\(host): WebSocket upgrade refused with status \(status)" }
}
