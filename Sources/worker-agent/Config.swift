import Agent
import ArgumentParser
import Configuration
import FoundationEssentials

/// `worker-agent config`: what is configured, and where.
struct Config: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows a slot's settings and where each comes from.",
    discussion: """
      Reads the same files, variables and flags as 'run' does and prints every key with the value that counts and its \
      source: the file's line and section, $VARIABLE, --flag, 'default', or 'detected' on this host. Keys that only jobs \
      know are listed last. Secrets are masked. Nothing is started and no web UI is asked.

      What is odd in the configuration is said on standard error. The exit code is 1 if it can't be used at all.

      Examples:
        worker-agent config --instance 3
        worker-agent config --instance 3 | grep RETRY
      """)

  @OptionGroup var options: SlotOptions

  mutating func run() async throws {
    let settings = try options.settings()
    let facts = try await HostFacts.find(environment: ProcessInfo.processInfo.environment)
    let architecture = settings.architecture ?? facts.architecture
    var detected = ["WORKER_CLASS": HostFacts.defaultClass(of: architecture), "ARCH": architecture]
    detected["WORKER_HOSTNAME"] = facts.workerHostname(for: settings)
    let report = SettingsReport(settings, detected: detected)
    Terminal.show("\(report)")
    var warnings = settings.warnings
    if detected["WORKER_HOSTNAME"] == nil {
      warnings.append("this host has no full name, so web UIs cannot reach it: set WORKER_HOSTNAME in workers.ini")
    }
    for warning in warnings { Terminal.complain("warning: \(warning)\n") }
  }
}
