/// What a web UI knows this worker by.
package struct Credentials: Sendable, Hashable, CustomStringConvertible {
  package var key: String
  package var secret: String

  package init(key: String, secret: String) {
    self.key = key
    self.secret = secret
  }

  /// The key only: a secret never reaches a log.
  package var description: String { "key \(key)" }
}
