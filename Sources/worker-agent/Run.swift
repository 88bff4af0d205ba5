import Agent
import ArgumentParser
import Configuration
import FoundationEssentials
import Support
import UnixSignals

/// `worker-agent run`: a slot at work.
struct Run: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Takes jobs and runs them.",
    discussion: """
      Ends with SIGTERM or SIGINT: the running job is stopped and scheduled anew. With SIGHUP it ends when the jobs \
      that it has taken have ended; without a job it reads its settings anew and goes on with them. With SIGUSR2 it hands over to the program as it is installed now, in the same process: running jobs \
      go on, as they do when the worker is killed and started again. The exit code is 0 when it was asked to end, 1 when it had to.

      'worker-agent config' with the same flags shows the settings it would run with.

      Examples:
        worker-agent run --instance 3
        worker-agent run --instance 3 --host 'https://openqa.example.org localhost' -v
      """)

  @OptionGroup var options: SlotOptions

  @Option(
    name: .customLong("log-format"),
    help: ArgumentHelp(
      "How lines of the log look: text, or json.",
      discussion: "With json each line is an object: time, level, message, slot, and where known job and web_ui."))
  var logFormat = LogFormat.Style.text

  mutating func run() async throws {
    let settings = try options.settings()
    let environment = ProcessInfo.processInfo.environment
    let output = try LogOutput.standard(logFormat, environment: environment)
    let notifier = ServiceNotifier(environment: environment)
    let handover = Handover(notifier: notifier)
    let agent = try await Host(
      [settings], environment: environment, output: output, notifier: notifier, problems: Entrance.inheritedProblems)
    let end = try await withThrowingTaskGroup(of: Slot.End?.self) { group in
      let (commands, feed) = AsyncStream<Slot.Command>.makeStream()
      group.addTask { [options] in
        var isStopping = false
        var mayHandOver = true
        for await signal in await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup, .sigusr2) {
          switch signal {
          case .sigusr2 where mayHandOver: await handover.execute(agent, output)
          // Who was asked to end does so himself.
          case .sigusr2: break
          case .sighup where !Run.canReload(options, output): continue
          case .sighup: feed.yield(.finish)
          default:
            feed.yield(isStopping ? .kill : .stop)
            isStopping = true
          }
          if signal != .sigusr2 { mayHandOver = false }
        }
        return nil
      }
      group.addTask { await agent.run(commands) }
      defer { group.cancelAll() }
      while let end = try await group.next() { if let end { return end } }
      return .noWebUI
    }
    if end == .reloading { await handover.execute(agent, output) }
    if end != .asked { throw ExitCode(1) }
  }

  /// Whether the slot could begin anew; if not, why is in the log. To end for settings that are of no use would be no help.
  private static func canReload(_ options: SlotOptions, _ output: LogOutput) -> Bool {
    do { _ = try options.read() } catch {
      output.write(LogRecord(.error, "Going on with the settings as they were: \(error)"))
      return false
    }
    return true
  }
}

extension LogFormat.Style: ExpressibleByArgument {}
