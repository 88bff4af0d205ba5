import ArgumentParser
import Configuration
import Support
import SystemPackage
import Upload

/// `worker-agent archive`: results that no web UI has taken.
struct ArchiveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "archive",
    abstract: "Shows results that no web UI has taken, and removes them.",
    discussion: """
      When a web UI is away at the end of a job, its results wait in the pool for UPLOAD_HOLD; then they are kept in \
      ARCHIVE_DIR for people to read, with the secrets taken out: logs, the test's own logs, results and screenshots. \
      ARCHIVE_LIMIT_GB and ARCHIVE_DAYS say how much and for how long.

      Examples:
        worker-agent archive list
        worker-agent archive show 4711-20261120211108
        worker-agent archive remove 4711-20261120211108
      """,
    subcommands: [List.self, Show.self, Remove.self], defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists what is kept, the newest first.")
    @OptionGroup var options: SlotOptions

    mutating func run() async throws {
      let archive = try options.archive()
      let entries = try archive.entries()
      for entry in entries {
        let size = "\((entry.bytes + 1023) >> 10) KiB"
        Terminal.show("\(entry.id)  \(entry.time)  \(size)  \(entry.summary.result)  \(entry.summary.name)\n")
      }
      if entries.isEmpty { Terminal.complain("Nothing is kept in \(archive.folder).\n") }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows what is kept of a job, and where.")
    @OptionGroup var options: SlotOptions
    @Argument(help: "Its name in the list.") var name: String

    mutating func run() async throws {
      let archive = try options.archive()
      guard let entry = try archive.entry(name) else { throw Unknown(name: name, archive: archive) }
      let summary = entry.summary
      let lines = [
        "job      \(summary.job) \(summary.name)", "from     \(summary.webUI)", "result   \(summary.result)",
        "problem  \(summary.problem)", "kept     \(entry.time) UTC, \(entry.bytes) bytes",
        "in       \(archive.folder.appending(entry.id))",
      ]
      Terminal.show((lines + entry.files.map { "         \($0)" }).joined(separator: "\n") + "\n")
    }
  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Removes what is kept of jobs.")
    @OptionGroup var options: SlotOptions
    @Argument(help: "Names in the list.") var names: [String] = []
    @Flag(help: "All that is kept.") var all = false

    func validate() throws {
      if names.isEmpty != all { throw ValidationError("say which: names as 'archive list' shows them, or --all") }
    }

    mutating func run() async throws {
      let archive = try options.archive()
      for name in all ? try archive.entries().map(\.id) : names {
        guard try archive.remove(name) else { throw Unknown(name: name, archive: archive) }
      }
    }
  }

  private struct Unknown: Error, CustomStringConvertible {
    let name: String
    let archive: Archive
    var description: String { "\(archive.folder) has nothing of the name '\(name)': see 'worker-agent archive list'" }
  }
}

extension SlotOptions {
  fileprivate func archive() throws -> Archive {
    let settings = try settings().archive
    return Archive(settings.directory, limit: settings.limit, maximumAge: settings.maximumAge)
  }
}
