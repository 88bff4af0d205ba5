import Support
package import SystemPackage

extension Settings {
  /// Puts a slot's settings together from files, environment and command line (protocol §1).
  /// - Parameter read: the text of a file, or nil if there is no such file.
  /// - Throws: ``ConfigurationError``, and what `read` throws.
  package init(
    options: CommandLineOptions, environment: [String: String], read: (FilePath) throws -> String?
  ) throws {
    let directories = Settings.directories(environment)
    var warnings: [String] = []
    func file(_ name: String, in directories: [FilePath]) throws -> INI {
      for directory in directories {
        let path = directory.appending(name)
        guard let text = try read(path) else { continue }
        let file = INI(text)
        warnings += file.problems.map { "\(path): \($0)" }
        return file
      }
      return INI("")
    }
    let workers = try file("workers.ini", in: directories.workers)
    let clients = try file("client.conf", in: directories.client)
    var values = Settings.values(of: options.instance, in: workers)
    let hosts = options.hosts ?? values["HOST"] ?? "localhost"
    values["HOST"] = nil

    instance = options.instance
    workerClass = values["WORKER_CLASS"]
    workerHostname = values["WORKER_HOSTNAME"]
    architecture = values["ARCH"]
    isotovideo = options.isotovideo.map { FilePath($0) }
    keepsPool = options.keepsPool
    let base = environment["OPENQA_BASEDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/var/lib"
    paths = Paths(project: FilePath(base).appending("openqa"))

    if options.isVerbose { values["LOG_LEVEL"] = "debug" }
    let level = values["LOG_LEVEL"] ?? "info"
    if let known = LogLevel(rawValue: level.lowercased()) {
      logLevel = known
    } else {
      logLevel = .info
      warnings.append("LOG_LEVEL = \(level): unknown, taken as info; write one of \(LogLevel.allNames)")
    }
    func number(_ name: String, _ default: Int, from text: String?) -> Int {
      guard let text else { return `default` }
      if let number = Int(text), number >= 0 { return number }
      warnings.append("\(name) = \(text): not a whole number, taken as \(`default`)")
      return `default`
    }
    retry = Retry(
      tries: max(1, number("RETRIES", 60, from: environment["OPENQA_WORKER_CONNECT_RETRIES"] ?? values["RETRIES"])),
      delay: .seconds(number("RETRY_DELAY", 5, from: values["RETRY_DELAY"])),
      delayIfBusy: .seconds(number("RETRY_DELAY_IF_WEBUI_BUSY", 60, from: values["RETRY_DELAY_IF_WEBUI_BUSY"])))
    let shortest = number("STATUS_MIN_INTERVAL", 60, from: values["STATUS_MIN_INTERVAL"])
    let longest = number("STATUS_MAX_INTERVAL", 300, from: values["STATUS_MAX_INTERVAL"])
    statusInterval = .seconds(min(shortest, longest)) ... .seconds(max(shortest, longest))
    connectInterval = .seconds(
      number("OPENQA_WORKER_CONNECT_INTERVAL", 10, from: environment["OPENQA_WORKER_CONNECT_INTERVAL"]))

    webUIs = try hosts.split(whereSeparator: \.isWhitespace).map { entry in
      let address = try WebUIAddress(String(entry))
      let section = workers.sections.last { $0.name == address.entry }
      let share = section?.entries.last { $0.key.uppercased() == "SHARE_DIRECTORY" }?.value
      return WebUI(
        address: address,
        credentials: Settings.credentials(options, environment) ?? Credentials(host: address.host, in: clients),
        shareDirectory: share.map { FilePath($0) })
    }
    if webUIs.isEmpty { throw ConfigurationError("HOST names no web UI; set it in workers.ini or give --host") }
    jobSettings = values.mapValues { .string($0) }
    for (name, delay) in [("RETRY_DELAY", retry.delay), ("RETRY_DELAY_IF_WEBUI_BUSY", retry.delayIfBusy)]
    where values[name] == nil {
      jobSettings[name] = .integer(delay.components.seconds)
    }
    self.warnings = warnings
  }

  private static func directories(_ environment: [String: String]) -> (workers: [FilePath], client: [FilePath]) {
    func directory(_ variable: String, _ rest: String = "") -> [FilePath] {
      guard let value = environment[variable], !value.isEmpty else { return [] }
      return [FilePath(value + rest)]
    }
    let configured = directory("OPENQA_CONFIG")
    let system: [FilePath] = ["/etc/openqa", "/usr/etc/openqa"]
    return (configured + system, configured + directory("HOME", "/.config/openqa") + system)
  }

  private static func credentials(_ options: CommandLineOptions, _ environment: [String: String]) -> Credentials? {
    guard let key = options.apiKey ?? environment["OPENQA_API_KEY"],
      let secret = options.apiSecret ?? environment["OPENQA_API_SECRET"]
    else { return nil }
    return Credentials(key: key, secret: secret)
  }

  /// The keys of `[global]`, of this instance's sections and of its classes' sections, which only fill in.
  private static func values(of instance: Int, in file: INI) -> [String: String] {
    var values: [String: String] = [:]
    func lay(_ section: INI.Section, over: Bool) {
      for entry in section.entries {
        let key = entry.key.uppercased()
        if entry.appends, let before = values[key], over {
          values[key] = before.isEmpty ? entry.value : "\(before),\(entry.value)"
        } else if over || values[key] == nil {
          values[key] = entry.value
        }
      }
    }
    for section in file.sections where section.name == "global" { lay(section, over: true) }
    for section in file.sections where names(section.name, instance) { lay(section, over: true) }
    for name in (values["WORKER_CLASS"] ?? "").split(separator: ",") {
      for section in file.sections where section.name == "class:\(name.trimmed)" { lay(section, over: false) }
    }
    return values
  }

  /// Whether a section's name is a list of numbers and ranges that holds `instance`: `1,3-5`.
  private static func names(_ section: String, _ instance: Int) -> Bool {
    section.split(separator: ",").contains { item in
      let bounds = item.split(separator: "-", omittingEmptySubsequences: false).map { Int($0.trimmed) }
      switch (bounds.first, bounds.count) {
      case (let number??, 1): return number == instance
      case (let low??, 2): if let high = bounds[1], low <= high { return (low...high).contains(instance) }
      default: break
      }
      return false
    }
  }
}

extension Settings.LogLevel {
  fileprivate static var allNames: String { allCases.map(\.rawValue).joined(separator: ", ") }
}
