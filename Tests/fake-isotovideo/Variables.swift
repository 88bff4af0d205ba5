import Support
import SystemPackage

/// The job's settings, `vars.json`.
struct Variables {
  private let path: FilePath
  private(set) var values: [String: JSON]

  /// Reads the file in the pool directory; no file is no settings.
  init(pool: FilePath) throws {
    path = pool.appending("vars.json")
    values = try Files.read(path).map { try JSON(parsing: $0).object ?? [:] } ?? [:]
  }

  subscript(name: String) -> JSON? {
    get { values[name] }
    set { values[name] = newValue }
  }

  /// Writes the settings back.
  func save() throws { try Files.replace(path, with: JSON.object(values).bytes + [10]) }
}
