package import Configuration
package import OpenQAProtocol
package import ProcessTree
import Support
package import SystemPackage

/// The test backend's program: where it is, what it can do, and how a job starts it (protocol §3.1 and §5).
package struct Isotovideo: Sendable, Hashable {
  package var path: FilePath

  /// The usual places, newest packaging first.
  private static let usualPlaces: [FilePath] = ["/usr/bin/isotovideo", "/usr/lib/os-autoinst/isotovideo"]

  /// The configured program, or the first of the usual places that has one.
  package init(_ settings: Settings) {
    path =
      settings.isotovideo ?? Isotovideo.usualPlaces.first { Files.status(of: $0) != nil } ?? Isotovideo.usualPlaces[0]
  }

  /// The N of `interface vN` in what `--version` prints.
  /// - Throws: `ProcessError` if the program does not answer or says nothing of an interface.
  package func interfaceVersion(environment: [String: String]) async throws -> Int {
    let command = Command(path.string, arguments: ["--version"], environment: environment, workingDirectory: "/")
    let text = try await Program.output(of: command, limit: .seconds(30))
    guard let match = text.firstMatch(of: /interface v([0-9]+)/), let version = Int(match.1) else {
      throw ProcessError("\(path) --version says nothing of an interface: \(text.prefix(200).trimmed)")
    }
    return version
  }

  /// The command that runs a job in its pool.
  /// - Parameter environment: the agent's own, which the backend gets but for what is its job's.
  /// - Throws: ``SetupFailure`` for a job that asks for a kind of backend that is not there.
  package func command(
    for variables: JobVariables, pool: FilePath, share: FilePath, environment: [String: String]
  ) throws(SetupFailure) -> Command {
    var environment = environment
    environment["OPENQA_HOSTNAME"] = variables["OPENQA_HOSTNAME"]
    environment["OPENQA_SHAREDIR"] = share.string
    environment["TMPDIR"] = pool.appending("tmp").string
    environment["MOJO_MAX_MESSAGE_SIZE"] = nil
    environment["PERL5OPT"] = ""
    if let line = variables["ISOTOVIDEO"] {
      return Command("/bin/sh", arguments: ["-c", line], environment: environment, workingDirectory: pool)
    }
    if variables["OS_AUTOINST_GIT_REPO"] != nil || variables["OS_AUTOINST_CONTAINER_IMAGE"] != nil {
      throw SetupFailure(.setup, "a backend in a container (OS_AUTOINST_CONTAINER_IMAGE) cannot be started")
    }
    return Command("perl", arguments: [path.string, "-d"], environment: environment, workingDirectory: pool)
  }
}
