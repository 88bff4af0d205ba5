import Configuration
import SystemPackage

/// Files and what else a slot's settings are made of, as a test wants them.
struct Fixture {
  /// Texts by path.
  var files: [String: String] = [:]
  var environment: [String: String] = [:]
  var options = CommandLineOptions()
  /// What can't be read.
  var forbidden: Set<String> = []

  struct Forbidden: Error, CustomStringConvertible {
    var path: String
    var description: String { "open \(path): Permission denied" }
  }

  /// workers.ini and client.conf where they usually are; slot 3.
  init(_ workers: String = "", client: String = "", environment: [String: String] = [:]) {
    files = ["/etc/openqa/workers.ini": workers, "/etc/openqa/client.conf": client]
    self.environment = environment
    options.instance = 3
  }

  init(files: [String: String], environment: [String: String] = [:]) {
    self.init(environment: environment)
    self.files = files
  }

  func settings() throws(ConfigurationError) -> Settings {
    try Settings(
      options: options, environment: environment,
      read: { [files, forbidden] path in
        if forbidden.contains(path.string) { throw Forbidden(path: path.string) }
        return files[path.string]
      },
      list: { [files, forbidden] folder in
        if forbidden.contains(folder.string) { throw Forbidden(path: folder.string) }
        return files.keys.map { FilePath($0) }.filter { $0.removingLastComponent() == folder }
          .compactMap { $0.lastComponent?.string }
      })
  }
}

extension Settings {
  /// The item of a key, `value <- sources`.
  func item(_ key: String) -> String? { items.first { $0.key == key }?.line }
}

extension Settings.Item {
  var line: String { "\(shownValue ?? "-") <- \(origins.map(\.description).joined(separator: ", "))" }
}
