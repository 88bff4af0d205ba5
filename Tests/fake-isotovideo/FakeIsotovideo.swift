import ArgumentParser
import Glibc
import Support
import SystemPackage

/// Stands for isotovideo in tests: plays a scenario file in the working directory, see README.md.
@main
struct FakeIsotovideo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fake-isotovideo", abstract: "Plays a scenario in place of isotovideo.")

  @Flag(name: .shortAndLong, help: "Accepted, as the real program is always called with it.")
  var debug = false

  @Flag(name: .shortAndLong, help: "Print the version and the interface version.")
  var version = false

  @Option(help: .hidden)
  var child: String?

  @Argument(help: "Settings, KEY=VALUE, laid over vars.json.")
  var settings: [String] = []

  func run() async throws {
    if let child { return Child.live(child) }
    if version {
      Output.line("Current version is unknown [interface v\(Scenario.defaultInterface)]")
      Output.line("\(getpid()): EXIT 0")
      return
    }
    let code: Int32
    do {
      var variables = try Variables(pool: FilePath("."))
      for setting in settings {
        guard let equals = setting.firstIndex(of: "=") else { throw ValidationError("not KEY=VALUE: \(setting)") }
        variables[String(setting[..<equals])] = .string(String(setting[setting.index(after: equals)...]))
      }
      let scenario = try Scenario.load(
        variables["FAKE_ISOTOVIDEO_SCENARIO"]?.scalar ?? environment("FAKE_ISOTOVIDEO_SCENARIO"))
      code = try await Play(scenario: scenario, variables: variables).perform()
    } catch let error as any CustomStringConvertible & Error {
      Output.line("fake-isotovideo: \(error.description)")
      code = 1
    }
    Output.line("\(getpid()): EXIT \(code)")
    throw ExitCode(code)
  }

  private func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}

/// The standard output, which whoever started the program collects in autoinst-log.txt.
enum Output {
  /// Writes one line at once.
  static func line(_ text: String) {
    let bytes = Array("\(text)\n".utf8)
    _ = write(1, bytes, bytes.count)
  }

  /// Writes one line as the real program's log has it.
  static func log(_ text: String) {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    var fields = tm()
    gmtime_r(&now.tv_sec, &fields)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let micros = String(String(1_000_000 + now.tv_nsec / 1000).dropFirst())
    let date = "\(fields.tm_year + 1900)-\(two(fields.tm_mon + 1))-\(two(fields.tm_mday))"
    let time = "\(two(fields.tm_hour)):\(two(fields.tm_min)):\(two(fields.tm_sec)).\(micros)"
    line("[\(date)T\(time)Z] [debug] [pid:\(getpid())] \(text)")
  }
}
