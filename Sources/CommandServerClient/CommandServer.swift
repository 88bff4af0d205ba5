import Support
package import Transport

/// isotovideo's command server (protocol §11). It comes up some seconds after the backend and goes away before it.
package struct CommandServer: Sendable {
  /// What the backend says of itself.
  package struct Version: Sendable, Hashable {
    /// The commits of test code and needles, empty where they are not in git.
    package var testCode: String
    package var needles: String
    /// The version of isotovideo.
    package var isotovideo: String
  }

  /// It did not answer, or not as it should.
  package struct Unusable: Error, CustomStringConvertible {
    package var description: String
  }

  /// `http://localhost:PORT/TOKEN`.
  package let url: String
  private let http: HTTPClient

  package init(url: String, http: HTTPClient) {
    self.url = url
    self.http = http
  }

  /// Asks for the version: whether it answers tells whether the backend has come up.
  /// - Throws: ``Unusable``, `CancellationError`.
  package func version() async throws -> Version {
    let json = try await exchange(.get, "isotovideo/version", limit: .seconds(10))
    func text(_ key: String) -> String { json[key]?.scalar ?? "" }
    return Version(
      testCode: text("test_git_hash"), needles: text("needles_git_hash"), isotovideo: text("version"))
  }

  /// Tells all who listen that the test is being stopped, so that developer mode knows.
  /// - Throws: ``Unusable``, within 10 s; `CancellationError`. Harmless either way.
  package func announceStop(reason: String) async throws {
    _ = try await exchange(
      .post, "broadcast", body: ["stopping_test_execution": .string(reason)], limit: .seconds(10))
  }

  private func exchange(
    _ method: HTTPRequest.Method, _ path: String, body: JSON? = nil, limit: Duration
  ) async throws -> JSON {
    let target = "\(url)/\(path)"
    var limits = HTTPRequest.Limits()
    limits.total = limit
    let request = HTTPRequest(
      method, target, body: body.map { .bytes($0.bytes, contentType: "application/json") } ?? .none, limits: limits)
    do {
      let response = try await http.send(request)
      guard response.status == 200 else {
        throw Unusable(description: "\(method.rawValue) \(path): HTTP status \(response.status)")
      }
      return try JSON(parsing: response.body)
    } catch let error as TransportError {
      throw Unusable(description: "\(method.rawValue) \(path): \(error)")
    } catch let error as JSONError {
      throw Unusable(description: "\(method.rawValue) \(path): not JSON: \(error)")
    }
  }
}
