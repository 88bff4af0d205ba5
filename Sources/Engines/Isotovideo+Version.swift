import Glibc
import ProcessTree
import Support
import SystemPackage

extension Isotovideo {
  /// The N of `interface vN` in what `--version` prints: asked once, and again when the program has changed.
  ///
  /// It takes a second or more to ask, so the answer is kept in the dot file `.isotovideo-version` of the pool, the one
  /// folder that a slot can be sure to write. It is valid as long as the program and its interface module are the same
  /// files of the same age and size. Without such a module near the program, nothing is kept; a file that cannot be read
  /// or written is as good as none.
  /// - Parameters:
  ///   - pool: where the answer is kept.
  ///   - limit: how long the program may take to answer. Its answer delays the registration; ten seconds are several times
  ///     what a slow machine needs.
  /// - Throws: `ProcessError` if the program is not there, does not answer or says nothing of an interface.
  package func interfaceVersion(
    environment: [String: String], pool: Pool, limit: Duration = .seconds(10)
  ) async throws -> Int {
    let key = try? await pool.lane.run { self.versionKey() }
    if let key = key ?? nil, let content = try? await pool.read(Isotovideo.versionFile, limit: 1 << 16),
      let known = try? JSON(parsing: content), known["key"] == key, let version = known["version"]?.integer
    {
      return Int(version)
    }
    let version = try await askVersion(environment: environment, limit: limit)
    if let key = key ?? nil {
      let record: JSON = ["key": key, "version": .integer(Int64(version))]
      try? await pool.write(Isotovideo.versionFile, record.bytes)
    }
    return version
  }

  private static let versionFile = ".isotovideo-version"
  /// Of the file's format.
  private static let format: JSON = 1

  private func askVersion(environment: [String: String], limit: Duration) async throws -> Int {
    // A lack of the x bit does not matter to jobs, which have it started by perl.
    let isExecutable = path.withPlatformString { access($0, X_OK) } == 0
    if !isExecutable, Glibc.errno == ENOENT {
      throw ProcessError(
        "isotovideo is not there: \(path): install os-autoinst, or give its path with --isotovideo")
    }
    let command = Command(
      isExecutable ? path.string : "perl", arguments: (isExecutable ? [] : [path.string]) + ["--version"],
      environment: environment, workingDirectory: "/")
    let text = try await Program.output(of: command, limit: limit)
    guard let match = text.firstMatch(of: /interface v([0-9]+)/), let version = Int(match.1) else {
      throw ProcessError("\(path) --version says nothing of an interface: \(text.prefix(200).trimmed)")
    }
    return version
  }

  /// What the answer depends on; nil if that is not known.
  private func versionKey() -> JSON? {
    guard let real = path.withPlatformString({ realpath($0, nil) }) else { return nil }
    defer { free(real) }
    let program = FilePath(platformString: real)
    let folder = program.removingLastComponent()
    let libraries = [folder, folder.removingLastComponent().appending("lib/os-autoinst")]
    let modules = libraries.map { $0.appending("OpenQA/Isotovideo/Interface.pm") }
    guard let module = modules.first(where: { Files.status(of: $0)?.kind == .file }) else { return nil }
    let files: [JSON] = [program, module].map { file in
      let status = Files.status(of: file)
      let numbers = [status?.size ?? -1] + (status?.modified ?? []).map { Int64($0) }
      return .array([.string(file.string)] + numbers.map { .integer($0) })
    }
    return ["format": Isotovideo.format, "files": .array(files)]
  }
}
