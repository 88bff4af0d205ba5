import Agent
import Glibc
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

  @Test("what a careless parent leaves behind is put right: ignored and blocked signals, a low limit of open files")
  func inheritedState() async throws {
    let host = try ProgramHost()
    let web = try await LocalServer.start(folder: host.folder.path.appending("web"))
    let start = host.command(
      "/usr/bin/env", "--ignore-signal=CHLD,PIPE,HUP,TERM,INT", "--block-signal=CHLD,TERM,USR1,USR2", "/bin/sh", "-c",
      #"ulimit -Sn 40; exec "$0" "$@""#)
    try await host.run(start, at: web) { pid in
      #expect(await web.status()?["status"] == "free")
      let limits = String(decoding: try Files.read(FilePath("/proc/\(pid)/limits")) ?? [], as: UTF8.self)
      #expect(!limits.contains("Max open files            40 "), "\(limits)")
      let status = String(decoding: try Files.read(FilePath("/proc/\(pid)/status")) ?? [], as: UTF8.self)
      func signals(_ name: String) throws -> UInt64 {
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("\(name):") })
        return try #require(UInt64(line.split(separator: "\t").last ?? "", radix: 16))
      }
      #expect(try signals("SigIgn") & (1 << UInt64(SIGCHLD - 1) | 1 << UInt64(SIGPIPE - 1)) == 0)
      #expect(try signals("SigBlk") == 0)
      let end = try await web.end(of: await web.schedule(host.job))
      #expect(end?.result == "passed", "\(end?.reason ?? "")")
    }
    await web.stop()
  }

  @Test("a limit of open files that is too low and cannot be raised is named")
  func lowLimit() async throws {
    let host = try ProgramHost()
    let web = try await LocalServer.start(folder: host.folder.path.appending("web"))
    try await host.run(host.command("/bin/sh", "-c", #"ulimit -n 200; exec "$0" "$@""#), at: web) { _ in
      _ = await web.status()
    }
    let text = String(decoding: try #require(try Files.read(host.log)), as: UTF8.self)
    #expect(text.contains("Only 200 files can be open at a time, which is too few for jobs: set LimitNOFILE=8192"))
    await web.stop()
  }

  @Test("relative paths are those of the folder that it was started in, for jobs as well")
  func relativePaths() async throws {
    let host = try ProgramHost()
    let web = try await LocalServer.start(folder: host.folder.path.appending("web"))
    var start = host.command("/usr/bin/env")
    start.workingDirectory = host.folder.path
    start.arguments = ["OPENQA_BASEDIR=.", "OPENQA_CONFIG=.", "WORKER_AGENT_LIBEXEC=.", "./worker-agent"]
    var job = host.job
    job["ISOTOVIDEO"] = ""
    try await host.run(start, isotovideo: "fake-perl", at: web) { _ in
      #expect(await web.status()?["status"] == "free")
      let end = try await web.end(of: await web.schedule(job))
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
