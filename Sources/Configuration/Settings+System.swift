import Support
import SystemPackage

extension Settings {
  /// Puts a slot's settings together from the files of this host. Reads them, which can take a while.
  /// - Throws: ``ConfigurationError`` if there is no web UI to work for.
  package init(options: CommandLineOptions, environment: [String: String]) throws(ConfigurationError) {
    try self.init(
      options: options, environment: environment,
      read: { path in try Files.read(path, limit: 1 << 24).map { String(decoding: $0, as: UTF8.self) } },
      list: { try Files.names(in: $0) }, directory: Files.currentDirectory)
    warnings += exposedSecrets { Files.status(of: $0)?.permissions.contains(.otherRead) ?? false }
  }

  /// Warns of files with secrets of this slot that every user of the host can read.
  func exposedSecrets(isReadableByAll: (FilePath) -> Bool) -> [String] {
    var keys: [FilePath: Set<String>] = [:]
    for item in items + webUIs.flatMap(\.items) where item.isSecret && item.value?.isEmpty == false {
      for case .file(let path, _, _) in item.origins { keys[path, default: []].insert(item.key) }
    }
    return keys.sorted { $0.key.string < $1.key.string }.filter { isReadableByAll($0.key) }.map { path, keys in
      "\(path) has secrets (\(keys.sorted().joined(separator: ", "))) and every user of this host can read it: "
        + "let the group of the worker's user own it, and run chmod 640 \(path)"
    }
  }
}
