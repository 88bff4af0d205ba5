/// Picks a handler by method and path.
///
/// A pattern is a path whose segments may be `:name` (one segment) and, at its end, `*name` (the rest, `/` included);
/// both are passed decoded. The first route added that fits is taken. A path that fits with no fitting method is
/// answered with 405, any other with 404.
public struct Router: Sendable {
  /// Answers one request; the second argument has the pattern's captures by name.
  public typealias Handler = @Sendable (ServerRequest, [String: String]) async throws -> ServerResponse

  private struct Route: Sendable {
    let method: String
    let segments: [Substring]
    let handler: Handler
  }

  private var routes: [Route] = []

  /// No routes.
  public init() {}

  /// Adds a route. `GET` serves `HEAD`, too.
  public mutating func on(_ method: String, _ pattern: String, _ handler: @escaping Handler) {
    routes.append(Route(method: method, segments: Self.segments(pattern), handler: handler))
  }

  /// The server's handler: `WebServer.start(handler: router.respond)`.
  @Sendable public func respond(to request: ServerRequest) async throws -> ServerResponse {
    let path = Self.segments(request.rawPath)
    var allowed: [String] = []
    for route in routes {
      guard let captures = Self.match(path, route.segments) else { continue }
      if route.method == request.method || (route.method == "GET" && request.method == "HEAD") {
        return try await route.handler(request, captures)
      }
      if !allowed.contains(route.method) { allowed.append(route.method) }
    }
    if allowed.isEmpty { return .text("not found\n", status: 404) }
    var response = ServerResponse.text("method not allowed\n", status: 405)
    response.headers["Allow"] = allowed.joined(separator: ", ")
    return response
  }

  private static func segments(_ path: String) -> [Substring] {
    Array(path.split(separator: "/", omittingEmptySubsequences: false).dropFirst(path.hasPrefix("/") ? 1 : 0))
  }

  private static func match(_ path: [Substring], _ pattern: [Substring]) -> [String: String]? {
    var captures: [String: String] = [:]
    for (index, expected) in pattern.enumerated() {
      if expected.hasPrefix("*"), index < path.count {
        captures[String(expected.dropFirst())] = PercentEncoding.decode(path[index...].joined(separator: "/"))
        return captures
      }
      guard index < path.count else { return nil }
      let segment = PercentEncoding.decode(path[index])
      if expected.hasPrefix(":"), !segment.isEmpty {
        captures[String(expected.dropFirst())] = segment
      } else if segment != expected {
        return nil
      }
    }
    return path.count == pattern.count ? captures : nil
  }
}
