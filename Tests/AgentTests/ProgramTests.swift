import Agent
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("The program", .timeLimit(.minutes(1)))
struct ProgramTests {
  @Test(
    "streams that are closed when it starts are /dev/null: no socket and no file gets their numbers",
    arguments: ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
  func closedStreams(redirections: String) async throws {
    let host = try ProgramHost()
    let web = try await LocalServer.start(folder: host.folder.path.appending("web"))
    let start = host.command("/bin/sh", "-c", #"exec "$0" "$@" \#(redirections)"#)
    try await host.run(start, at: web) { pid in
      #expect(await web.status()?["status"] == "free")
      for (descriptor, closing) in ["<&-", ">&-", "2>&-"].enumerated()
      where redirections.split(separator: " ").contains(Substring(closing)) {
        #expect(Files.linkTarget(FilePath("/proc/\(pid)/fd/\(descriptor)")) == "/dev/null", "\(descriptor)")
      }
      // What is closed for it is not so for its jobs.
      let end = try await web.end(of: await web.schedule(host.job))
      #expect(end?.result == "passed", "\(end?.reason ?? "")")
    }
    await web.stop()
  }

  static let uses: [(arguments: [String], exit: Int32, words: String)] = [
    (["--version"], 0, "\(Version.current)\n"), (["config", "--version"], 0, "\(Version.current)\n"),
    (["--help"], 0, "worker-agent [run] [--instance"), (["config", "--help"], 0, "--instance"),
    (["--instance", "0"], 64, "a slot's number is from 1 to 4000"), (["--bogus"], 64, "--bogus"),
    (["run", "extra"], 64, "Unexpected argument 'extra'"), (["--generate-completion-script", "bash"], 0, "complete "),
  ]

  @Test("what it prints and exits with", arguments: uses)
  func use(_ example: (arguments: [String], exit: Int32, words: String)) async throws {
    let host = try ProgramHost()
    var command = host.command("/usr/bin/env")
    command.arguments += example.arguments
    let exit = try await Program.run(command, appendingTo: host.log)
    let text = String(decoding: try #require(try Files.read(host.log)), as: UTF8.self)
    #expect(exit == .status(example.exit) && text.contains(example.words), "\(exit) \(text)")
  }
}
