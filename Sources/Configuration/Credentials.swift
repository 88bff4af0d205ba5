import Support

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

  /// The credentials for `host` in a client.conf (protocol §1.3): the last value of each key wins.
  init?(host: String, in file: INI) {
    var values: [String: String] = [:]
    for section in file.sections where section.name == host {
      for entry in section.entries { values[entry.key.lowercased()] = entry.value }
    }
    guard let key = values["key"], let secret = values["secret"] else { return nil }
    self.init(key: key, secret: secret)
  }
}
