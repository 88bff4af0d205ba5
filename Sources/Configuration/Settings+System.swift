import Support
import SystemPackage

extension Settings {
  /// Puts a slot's settings together from the files of this host. Reads them, which can take a while.
  /// - Throws: ``ConfigurationError`` if there is no web UI to work for.
  package init(options: CommandLineOptions, environment: [String: String]) throws(ConfigurationError) {
    try self.init(
      options: options, environment: environment,
      read: { path in try Files.read(path, limit: 1 << 24).map { String(decoding: $0, as: UTF8.self) } },
      list: { try Files.names(in: $0) })
  }
}
