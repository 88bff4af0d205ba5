package import Configuration
import Glibc
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage

/// What a host is, found out once when the agent starts (protocol §1.2 and §3.1).
package struct HostFacts: Sendable, Hashable {
  /// `uname`: system, node name, release, version, machine.
  package var system: [String]
  /// The fully qualified name; nil if the host has none.
  package var qualifiedName: String?
  package var architecture: String
  /// `cpu_modelname`, `cpu_opmode`, `cpu_flags`.
  package var processor: [String: String]
  /// MemTotal in MiB.
  package var memory: Int
  /// What could not be found out, for the log.
  package var problems: [String] = []

  package var nodeName: String { system[1] }

  /// Asks the system.
  package static func find(environment: [String: String]) async throws -> HostFacts {
    let lane = try IOLane(name: "host facts")
    var system = utsname()
    uname(&system)
    var facts = HostFacts(
      system: [
        text(system.sysname), text(system.nodename), text(system.release), text(system.version), text(system.machine),
      ],
      architecture: text(system.machine), processor: [:], memory: 0)
    let nodeName = facts.nodeName
    let memory = try? await lane.run { try Files.read("/proc/meminfo", limit: 1 << 16) }
    facts.memory = self.memory(in: String(decoding: (memory ?? nil) ?? [], as: UTF8.self))
    async let qualifiedName = try? lane.run(limit: .seconds(10)) { HostFacts.qualifiedName(of: nodeName) }
    var environment = environment
    environment["LC_ALL"] = "C"
    do {
      let command = Command("lscpu", environment: environment, workingDirectory: "/")
      facts.take(lscpu: try await Program.output(of: command, limit: .seconds(10)))
    } catch {
      facts.problems.append("cannot find out about the CPU: \(error)")
    }
    facts.qualifiedName = await qualifiedName ?? nil
    return facts
  }

  /// Takes over what `lscpu` prints.
  package mutating func take(lscpu text: String) {
    for line in text.split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].trimmed
      switch line[..<colon].trimmed {
      case "Architecture": architecture = value
      case "Model name": processor["cpu_modelname"] = value
      case "CPU op-mode(s)": processor["cpu_opmode"] = value
      case "Flags": processor["cpu_flags"] = value
      default: break
      }
    }
  }

  /// MiB of MemTotal in the text of `/proc/meminfo`; 0 if it is not there.
  package static func memory(in text: String) -> Int {
    guard let match = text.firstMatch(of: /MemTotal: *([0-9]+) kB/), let kibibytes = Int(match.1) else { return 0 }
    return kibibytes / 1024
  }

  /// The classes of a worker that are not configured: what its CPU can run.
  package static func defaultClass(of architecture: String) -> String {
    let names =
      switch architecture {
      case "x86_64": ["x86_64", "i686", "i586"]
      case "i686": ["i686", "i586"]
      case "ppc64le", "ppc64": ["ppc64le", "ppc64", "ppc"]
      case "s390x": ["s390x", "s390"]
      default: [architecture]
      }
    return names.map { "qemu_\($0)" }.joined(separator: ",")
  }

  /// How web UIs reach this host; nil if that cannot be told.
  package func workerHostname(for settings: Settings) -> String? {
    if let configured = settings.workerHostname { return configured }
    if let qualifiedName, qualifiedName.contains(".") { return qualifiedName }
    return settings.webUIs.allSatisfy(\.address.isLocal) ? "localhost" : nil
  }

  /// Returns the parameters of the registration of a slot of this host.
  /// - Parameter interfaceVersion: isotovideo's; nil while isotovideo cannot be asked for it.
  func registration(_ settings: Settings, interfaceVersion: Int?) -> WorkerRegistration {
    let architecture = settings.architecture ?? architecture
    return WorkerRegistration(
      host: nodeName, instance: settings.instance, architecture: architecture,
      processor: settings.architecture == nil ? processor : [:], memory: memory,
      workerClass: settings.workerClass ?? HostFacts.defaultClass(of: architecture),
      isotovideoInterfaceVersion: interfaceVersion, parallelOneHostOnly: settings.parallelOneHostOnly)
  }

  private static func text<Field>(_ field: Field) -> String {
    withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// Asks the resolver, which can take as long as it likes.
  private static func qualifiedName(of name: String) -> String? {
    var hints = addrinfo()
    hints.ai_flags = AI_CANONNAME
    var answers: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, nil, &hints, &answers) == 0 else { return nil }
    defer { freeaddrinfo(answers) }
    return answers?.pointee.ai_canonname.map { String(cString: $0) }
  }
}
