import Agent
import ArgumentParser
import Configuration
import FoundationEssentials
import LocalWebUI
import Support
import SystemPackage
import UnixSignals

/// `worker-agent demo`: a web UI, a slot and a job on this machine alone.
struct Demo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a small test on this machine, without an openQA.",
    discussion: """
      Starts a small web UI on the loopback, a slot that takes jobs from it, and gives it one job: isotovideo boots a \
      guest of one disk sector in an emulated QEMU, looks at its screen, types, reads its serial line and writes logs. \
      The results, images and logs are kept in a folder; the worker's own log is in worker.log there.

      Needs isotovideo (os-autoinst) and QEMU for x86_64. The exit code is 0 if the test passed.
      """)

  @Option(help: ArgumentHelp("Where to keep what comes of it. An earlier demo's folder is emptied.", valueName: "path"))
  var folder = "worker-agent-demo"

  @Option(help: ArgumentHelp("The slot's number; it decides on ports: 20003 + 10·N, and VNC display 90 + N."))
  var instance = 99

  @Flag(help: "Keep the web UI at the end, until Ctrl-C: its page shows the result with all screenshots.")
  var stay = false

  @Option(
    help: ArgumentHelp("The path of isotovideo. (default: where it is installed)", valueName: "path"),
    completion: .file())
  var isotovideo: String?

  func validate() throws {
    guard (1...4000).contains(instance) else {
      throw ValidationError("--instance \(instance): a slot's number is from 1 to 4000")
    }
  }

  mutating func run() async throws {
    do {
      let passed = try await play()
      if !passed { throw ExitCode(1) }
    } catch let code as ExitCode {
      throw code
    } catch {
      Terminal.complain("worker-agent demo: \(error)\n")
      throw ExitCode(1)
    }
  }

  private static let usualPlaces = ["/usr/bin/isotovideo", "/usr/lib/os-autoinst/isotovideo"]

  /// Names what the test would miss.
  private func checkPrograms() throws {
    let environment = ProcessInfo.processInfo.environment
    try Agent.Host.checkInstallation(environment: environment)
    let places = isotovideo.map { [$0] } ?? Demo.usualPlaces
    guard places.contains(where: FileManager.default.isReadableFile) else {
      throw DemoError("there is no \(places[0]): install os-autoinst, or name it with --isotovideo")
    }
    let path = (environment["PATH"] ?? "").split(separator: ":")
    guard path.contains(where: { FileManager.default.isExecutableFile(atPath: "\($0)/qemu-system-x86_64") }) else {
      throw DemoError("there is no qemu-system-x86_64 in PATH: install qemu-system-x86")
    }
  }

  private func play() async throws -> Bool {
    try checkPrograms()
    let home = try DemoHome(FilePath(FileManager.default.currentDirectoryPath).pushing(FilePath(folder)))
    let (key, secret) = (UUID().uuidString, UUID().uuidString)
    let web = try await LocalServer.start(folder: home.results, key: key, secret: secret)
    let agent = try await agent(home, web: web.url, key: key, secret: secret)
    let screen = DemoScreen()
    screen.say("See it at \(web.url) in a browser; the worker's log is \(home.log).")
    let (commands, feed) = AsyncStream<Slot.Command>.makeStream()
    let job = await web.schedule(DemoHome.job)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await event in web.events { screen.show(event) } }
      group.addTask {
        for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) { feed.yield(.stop) }
      }
      group.addTask {
        _ = try? await web.end(of: job)
        feed.yield(.stop)
      }
      _ = await agent.run(commands)
      group.cancelAll()
    }
    let end = await web.job(job)
    screen.summarize(end, in: home.results.appending(String(job)))
    if stay {
      screen.say("\nThe result is at \(web.url) until Ctrl-C.")
      for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) { break }
    }
    await web.stop()
    return end?.result == "passed"
  }

  private func agent(_ home: DemoHome, web: String, key: String, secret: String) async throws -> Agent.Host {
    var options = CommandLineOptions()
    options.instance = instance
    options.isotovideo = isotovideo
    let environment = ProcessInfo.processInfo.environment
    let workers = "[global]\nHOST = \(web)\nWORKER_CLASS = demo\nWORKER_HOSTNAME = 127.0.0.1\nLOG_LEVEL = debug\n"
    let settings = try Settings(
      options: options,
      environment: [
        "OPENQA_CONFIG": "/demo", "OPENQA_BASEDIR": home.path.string, "OPENQA_API_KEY": key,
        "OPENQA_API_SECRET": secret,
      ]
    ) { $0 == "/demo/workers.ini" ? workers : nil }
    let log = home.log
    let output = try LogOutput { try? Files.append(Array($0.utf8), to: log) }
    return try await Agent.Host([settings], environment: environment, output: output)
  }
}
