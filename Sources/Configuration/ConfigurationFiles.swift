import SystemPackage

/// Finds configuration files (protocol §1.1).
struct ConfigurationFiles {
  /// The text of a file, nil if there is none.
  var read: (FilePath) throws -> String?
  /// The names in a directory, none if there is none.
  var list: (FilePath) throws -> [String]
  let environment: [String: String]
  /// What was read, the later laid over the earlier.
  private(set) var paths: [FilePath] = []
  var warnings: [String] = []

  init(
    environment: [String: String], read: @escaping (FilePath) throws -> String?,
    list: @escaping (FilePath) throws -> [String]
  ) {
    (self.environment, self.read, self.list) = (environment, read, list)
  }

  /// workers.ini, said so if there is none.
  mutating func workers() -> MergedFile {
    let places = [directory("OPENQA_CONFIG"), ConfigurationFiles.system]
    if let file = first("workers.ini", of: places, repetition: .first) { return file }
    let names = places.joined().map { "\($0.appending("workers.ini"))" }
    warnings.append("no \(names.joined(separator: ", none of ")): every setting has its default")
    return MergedFile(repetition: .first)
  }

  /// client.conf.
  mutating func clients() -> MergedFile {
    let home = directory("HOME").map { $0.appending(".config/openqa") }
    let places = [directory("OPENQA_CONFIG"), home, ConfigurationFiles.system]
    return first("client.conf", of: places, repetition: .last) ?? MergedFile(repetition: .last)
  }

  private static let system: [FilePath] = ["/etc/openqa", "/usr/etc/openqa"]

  private func directory(_ variable: String) -> [FilePath] {
    guard let value = environment[variable], !value.isEmpty else { return [] }
    return [FilePath(value)]
  }

  /// What the first of `places` has. A place's first directory with the file itself ends its search; the directories
  /// before that can have drop-ins, which are laid over it.
  private mutating func first(
    _ name: String, of places: [[FilePath]], repetition: MergedFile.Repetition
  ) -> MergedFile? {
    for place in places {
      var found: [(path: FilePath, text: String)] = []
      for directory in place {
        let path = directory.appending(name)
        let main = content(path)
        found = (main.map { [(path, $0)] } ?? []) + dropIns(directory, name) + found
        if main != nil { break }
      }
      guard !found.isEmpty else { continue }
      var file = MergedFile(repetition: repetition)
      for (path, text) in found { file.merge(text, of: path, warnings: &warnings) }
      paths += found.map(\.path)
      return file
    }
    return nil
  }

  private mutating func dropIns(_ directory: FilePath, _ name: String) -> [(path: FilePath, text: String)] {
    let folder = directory.appending("\(name).d")
    let ending = ".\(FilePath.Component(name)?.extension ?? "")"
    var names: [String] = []
    do {
      names = try list(folder).filter { $0.hasSuffix(ending) && !$0.hasPrefix(".") }
    } catch {
      warnings.append("\(error); the drop-ins of \(folder) are left out")
    }
    names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    return names.compactMap { name in content(folder.appending(name)).map { (folder.appending(name), $0) } }
  }

  private mutating func content(_ path: FilePath) -> String? {
    do {
      return try read(path)
    } catch {
      warnings.append("\(error); \(path) is left out")
      return nil
    }
  }
}
