import ProcessTree
import Support
import SystemPackage

/// The service that connects the virtual machines of jobs with each other, which slots of class `tap` need (protocol §4).
enum VirtualSwitch {
  /// Its name on the system's D-Bus.
  static let name = "org.opensuse.os_autoinst.switch"

  /// How long the bus has to answer.
  private static let limit = Duration.seconds(10)

  /// Whether it is there. systemd's own program is asked to ask the bus: it is wherever the service can be.
  /// - Throws: `ProcessError` if the bus cannot be asked.
  static func isRunning(environment: [String: String]) async throws -> Bool {
    let bus = "org.freedesktop.DBus"
    let command = Command(
      "busctl", arguments: ["--system", "call", bus, "/org/freedesktop/DBus", bus, "NameHasOwner", "s", name],
      environment: environment, workingDirectory: "/")
    return try await Program.output(of: command, limit: limit).trimmed == "b true"
  }
}
