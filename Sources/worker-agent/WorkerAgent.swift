import Agent
import ArgumentParser
import Support

/// The program's beginning.
@main
enum Entrance {
  /// What this process has inherited and cannot put right.
  static let inheritedProblems = CurrentProcess.resetInheritedState()

  static func main() async {
    Terminal.fillGaps()
    _ = inheritedProblems
    ProcessMemory.mapLargeBlocks()
    await WorkerAgent.main()
  }
}

/// The program: its subcommands.
struct WorkerAgent: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker-agent",
    abstract: "Runs openQA jobs on this host.",
    usage: """
      worker-agent [run] [--instance <instance>] [--host <hosts>] [...]
      worker-agent config [--instance <instance>] [...]
      worker-agent archive list|show|remove [...]
      worker-agent demo [--folder <path>] [...]
      """,
    discussion: """
      Registers a slot with one or more openQA web UIs, takes jobs from them, runs each with isotovideo in the slot's \
      pool directory, and uploads its results. Settings come from workers.ini, credentials from client.conf, both in \
      $OPENQA_CONFIG or /etc/openqa, with the drop-ins in workers.ini.d and client.conf.d beside them.

      Without a subcommand it runs a slot: its flags are those of 'run', see 'worker-agent help run'.

      Examples:
        worker-agent --instance 3
        worker-agent --instance 3 --host https://openqa.example.org --verbose
        worker-agent config --instance 3
        worker-agent demo
        worker-agent --generate-completion-script bash > worker-agent.bash

      Completions are there for bash, zsh and fish.
      """,
    version: Version.current,
    subcommands: [Run.self, Config.self, ArchiveCommand.self, Demo.self],
    defaultSubcommand: Run.self)
}
