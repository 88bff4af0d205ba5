package import Configuration
import Glibc
package import OpenQAProtocol
package import ProcessTree
import Support
package import SystemPackage

/// The test backend's program: where it is, and how a job starts it (protocol §5, "Backend").
package struct Isotovideo: Sendable, Hashable {
  /// The folders of the host that a backend works with.
  package struct Folders: Sendable, Hashable {
    /// Its working directory.
    package var pool: FilePath
    package var share: FilePath
    /// The root of all test code.
    package var tests: FilePath
    /// Of assets and test code; nil where there is none.
    package var cache: FilePath?

    package init(pool: FilePath, share: FilePath, tests: FilePath, cache: FilePath? = nil) {
      self.pool = pool
      self.share = share
      self.tests = tests
      self.cache = cache
    }
  }

  private let places: [FilePath]

  /// The usual places, newest packaging first.
  private static let usualPlaces: [FilePath] = ["/usr/bin/isotovideo", "/usr/lib/os-autoinst/isotovideo"]

  /// The configured program, or the first of the usual places that has one.
  package init(_ settings: Settings) { places = settings.isotovideo.map { [$0] } ?? Isotovideo.usualPlaces }

  /// The program, or where it should be. Looked for each time, since it may be installed meanwhile. Blocks.
  package var path: FilePath { places.first { Files.status(of: $0) != nil } ?? places[0] }

  /// Returns why this host's program cannot be run, or `nil` if it can. Blocks.
  package func problem() -> String? {
    let path = path
    guard Files.status(of: path)?.kind == .file else {
      return "isotovideo is not there: \(path): install os-autoinst, or give its path with --isotovideo"
    }
    // Perl runs it, which has to read it.
    guard path.withPlatformString({ access($0, R_OK) }) == 0 else {
      return "isotovideo cannot be read: \(path): \(Errno(rawValue: Glibc.errno))"
    }
    return nil
  }

  /// The interpreter that runs this host's program.
  package static let interpreter = "perl"

  /// The command that runs a job in its pool: the job's own, one in a container, or the program of this host.
  ///
  /// Blocks: to be called on the pool's lane.
  /// - Parameter environment: the agent's own, which the backend gets but for what is its job's.
  /// - Throws: ``SetupFailure`` if this host's program is needed and is not there.
  package func command(
    for variables: JobVariables, folders: Folders, environment: [String: String]
  ) throws(SetupFailure) -> Command {
    let environment = Isotovideo.environment(for: variables, folders: folders, base: environment)
    if let line = variables["ISOTOVIDEO"] {
      return Command("/bin/sh", arguments: ["-c", line], environment: environment, workingDirectory: folders.pool)
    }
    if variables["OS_AUTOINST_GIT_REPO"] != nil || variables["OS_AUTOINST_CONTAINER_IMAGE"] != nil {
      let own = Isotovideo.jobEnvironment(for: variables, folders: folders)
      return BackendContainer(folders: folders, environment: environment, inside: own).command(for: variables)
    }
    if let problem = problem() { throw SetupFailure(.setup, problem, fault: .noIsotovideo) }
    return Command(
      Isotovideo.interpreter, arguments: [path.string, "-d"], environment: environment, workingDirectory: folders.pool)
  }

  /// Returns the environment of a backend: the agent's own, and what the job and Mojolicious need (protocol §5).
  package static func environment(
    for variables: JobVariables, folders: Folders, base: [String: String]
  ) -> [String: String] {
    base.merging(jobEnvironment(for: variables, folders: folders)) { $1 }
  }

  /// The variables that every backend gets, in a container as well.
  static func jobEnvironment(for variables: JobVariables, folders: Folders) -> [String: String] {
    var environment = [
      "OPENQA_SHAREDIR": folders.share.string, "TMPDIR": folders.pool.appending("tmp").string, "PERL5OPT": "",
      // Calls of mmapi and lockapi wait in the web UI for other jobs: Mojolicious would cut them off after 40 s.
      "MOJO_INACTIVITY_TIMEOUT": "300", "MOJO_CONNECT_TIMEOUT": "300", "MOJO_REACTOR": "Mojo::Reactor::Poll",
      // Set and empty it is no limit; unset it is 16 MiB, too little for uploads from the system under test.
      "MOJO_MAX_MESSAGE_SIZE": "",
    ]
    for name in ["OPENQA_HOSTNAME", "QEMUPORT", "VNC"] { environment[name] = variables[name] }
    return environment
  }
}
