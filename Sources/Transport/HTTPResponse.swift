/// A complete answer. Redirects and error statuses are answers like any other.
public struct HTTPResponse: Sendable {
  /// The status code, 100…999.
  public var status: Int
  /// The headers in the order received.
  public var headers: [HTTPHeader]
  /// The whole body.
  public var body: [UInt8]

  /// Makes a response, for tests and caches.
  public init(status: Int, headers: [HTTPHeader] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// The value of the first header called `name`, in any case; `nil` if there is none.
  public func header(_ name: String) -> String? { headers.first(name) }
}
