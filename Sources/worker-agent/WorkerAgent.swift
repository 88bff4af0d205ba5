import Agent
import ArgumentParser
import Configuration
import Foundation
import Support
import SystemPackage
import UnixSignals

/// The program: flags, composition, exit code.
@main
struct WorkerAgent: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker-agent",
    abstract: "Runs openQA jobs on this host.",
    discussion: """
      Registers a slot with one or more openQA web UIs, takes jobs from them, runs each with isotovideo in the slot's \
      pool directory, and uploads its results. Settings come from workers.ini, credentials from client.conf, both in \
      $OPENQA_CONFIG, or in /etc/openqa.

      Ends with SIGTERM or SIGINT: the running job is stopped and scheduled anew. With SIGHUP it ends when the running \
      job has ended. The exit code is 0 when it was asked to end, 1 when it had to.

      Examples:
        worker-agent --instance 3
        worker-agent --instance 3 --host https://openqa.example.org --verbose
      """)

  @Option(help: "The slot's number on this host: its pool directory is pool/N, its command server's port 20003 + 10·N.")
  var instance = 1

  @Option(help: "The web UIs to take jobs from, each host[:port] or a URL, separated by spaces. (default: HOST)")
  var host: String?

  @Option(help: "The API key. (default: $OPENQA_API_KEY, or that of client.conf)")
  var apikey: String?

  @Option(help: "The API key's secret. (default: $OPENQA_API_SECRET, or that of client.conf)")
  var apisecret: String?

  @Option(help: "The path of isotovideo. (default: /usr/bin/isotovideo)")
  var isotovideo: String?

  @Flag(name: .customLong("no-cleanup"), help: "Leave the files of a job in the pool directory.")
  var keepsPool = false

  @Flag(
    name: [.customShort("v"), .customLong("verbose"), .customShort("d"), .customLong("debug")],
    help: "Log at level debug, and tell backends to.")
  var isVerbose = false

  func validate() throws {
    guard (1...4000).contains(instance) else {
      throw ValidationError("--instance \(instance): a slot's number is from 1 to 4000")
    }
  }

  mutating func run() async throws {
    var options = CommandLineOptions()
    options.instance = instance
    options.hosts = host
    options.apiKey = apikey
    options.apiSecret = apisecret
    options.isotovideo = isotovideo
    options.keepsPool = keepsPool
    options.isVerbose = isVerbose
    let environment = ProcessInfo.processInfo.environment
    let settings: Settings
    do {
      settings = try Settings(options: options, environment: environment) { path in
        try Files.read(path, limit: 1 << 20).map { String(decoding: $0, as: UTF8.self) }
      }
    } catch {
      FileHandle.standardError.write(Data("worker-agent: \(error)\n".utf8))
      throw ExitCode(1)
    }
    let output = try LogOutput { FileHandle.standardOutput.write(Data($0.utf8)) }
    let agent = try await Host([settings], environment: environment, output: output)
    let wasAsked = try await withThrowingTaskGroup(of: Bool?.self) { group in
      let (commands, feed) = AsyncStream<Slot.Command>.makeStream()
      group.addTask {
        var isStopping = false
        for await signal in await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup) {
          if signal == .sighup {
            feed.yield(.finish)
          } else {
            feed.yield(isStopping ? .kill : .stop)
            isStopping = true
          }
        }
        return nil
      }
      group.addTask { await agent.run(commands) }
      defer { group.cancelAll() }
      while let end = try await group.next() { if let end { return end } }
      return false
    }
    if !wasAsked { throw ExitCode(1) }
  }
}
