/// One HTTP request, complete with its limits.
public struct HTTPRequest: Sendable {
  /// The method.
  public enum Method: String, Sendable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case delete = "DELETE"
  }

  /// What follows the headers. Always sent with a `Content-Length`.
  public enum Body: Sendable {
    /// Nothing; `POST` and `PUT` say `Content-Length: 0`.
    case none
    /// These bytes.
    case bytes([UInt8], contentType: String)
    /// A `multipart/form-data` form.
    case multipart([MultipartPart])
  }

  /// When to give up.
  public struct Limits: Sendable {
    /// From the start of name resolution to the end of the TLS handshake.
    public var connect: Duration
    /// Time on an open connection in which no byte moves in either direction.
    public var inactivity: Duration
    /// From the call to the end of the answer, waiting for a free connection included, but not for a place of
    /// ``HTTPRequest/concurrency``; `nil` is no limit.
    public var total: Duration?
    /// Bytes of the body a second, below which it is too slow: ``total`` grows by what a body takes at this rate; 0 for no
    /// such growth.
    public var slowest = 0
    /// Size of the answer's body in bytes.
    public var responseBytes: Int

    /// Makes limits; the defaults suit calls to a busy web application.
    public init(
      connect: Duration = .seconds(300), inactivity: Duration = .seconds(600), total: Duration? = nil,
      responseBytes: Int = 64 << 20
    ) {
      self.connect = connect
      self.inactivity = inactivity
      self.total = total
      self.responseBytes = responseBytes
    }
  }

  /// The method.
  public var method: Method
  /// The `http` or `https` URL. Path and query are sent exactly as written here.
  public var url: String
  /// Headers besides the ones that the transport makes (`Host`, `Content-Length`, `Content-Type` of the body).
  public var headers: [HTTPHeader]
  /// The body.
  public var body: Body
  /// The limits.
  public var limits: Limits
  /// With which other requests it shares how many of them run at a time.
  public var concurrency: (any ConcurrencyLimit)?

  /// Makes a request.
  public init(
    _ method: Method, _ url: String, headers: [HTTPHeader] = [], body: Body = .none, limits: Limits = Limits()
  ) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
    self.limits = limits
  }
}
