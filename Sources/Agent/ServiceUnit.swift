import ProcessTree
import Support
import SystemPackage

/// The unit of systemd that this process runs in.
enum ServiceUnit {
  private static let limit = Duration.seconds(5)

  /// What to change in the unit, if it would end running jobs together with this process; nil if it would not, or there
  /// is no unit of the system's, or it cannot be asked.
  static func warning(environment: [String: String], cgroups: String? = nil) async -> String? {
    guard environment["INVOCATION_ID"] != nil, let text = cgroups ?? ownCgroups, let unit = name(inCgroups: text)
    else { return nil }
    let command = Command(
      "systemctl", arguments: ["show", "--property=KillMode", "--value", unit], environment: environment,
      workingDirectory: "/")
    guard let mode = try? await Program.output(of: command, limit: limit).trimmed else { return nil }
    return warning(unit: unit, killMode: mode)
  }

  static func warning(unit: String, killMode: String) -> String? {
    guard ["control-group", "mixed"].contains(killMode) else { return nil }
    return """
      \(unit) has KillMode=\(killMode), which ends the running job when this worker crashes or is killed: say \
      KillMode=process in its section [Service], with 'systemctl edit \(unit)'
      """
  }

  /// The innermost service in a `/proc/PID/cgroup`; nil for none, and for those of a user's own service manager.
  static func name(inCgroups text: String) -> String? {
    let lines = text.split(separator: "\n").map {
      $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    }
    // systemd's own hierarchy, of version 1 or 2.
    let paths = lines.filter { $0.count == 3 && ($0[1] == "name=systemd" || $0[0] == "0") }.map { $0[2] }
    let names = paths.map { $0.split(separator: "/").filter { $0.hasSuffix(".service") } }.first { !$0.isEmpty }
    guard let names, !names.contains(where: { $0.hasPrefix("user@") }) else { return nil }
    return names.last.map(String.init)
  }

  private static var ownCgroups: String? {
    ((try? Files.read("/proc/self/cgroup", limit: 1 << 16)) ?? nil).map { String(decoding: $0, as: UTF8.self) }
  }
}
