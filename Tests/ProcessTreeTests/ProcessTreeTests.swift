import Glibc
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("A tree of processes", .timeLimit(.minutes(1)))
struct ProcessTreeTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  func shell(_ script: String) -> (tree: ProcessTree, output: FilePath) {
    let output = folder.path.appending("output")
    let command = Command(
      "/bin/bash", arguments: ["-c", script], environment: ["PATH": "/usr/bin:/bin", "A": "b c"],
      workingDirectory: folder.path)
    return (ProcessTree(command, output: output), output)
  }

  func text(_ path: FilePath) throws -> String { String(decoding: try Files.read(path) ?? [], as: UTF8.self) }

  @Test("runs in its folder and session with just its environment, and appends its output")
  func running() async throws {
    let (tree, output) = shell("echo $A $PWD $HOME; echo err >&2; ps -o sid= -p $$; echo $$; exit 3")
    try Files.replace(output, with: Array("before\n".utf8))
    #expect(try await tree.run() == .status(3))
    let lines = try text(output).split(separator: "\n").map { $0.trimmed }
    #expect(lines[0...2] == ["before", "b c \(folder.path)", "err"])
    #expect(lines[3] == lines[4])
    #expect(!tree.isRunning)
  }

  @Test("a signal is no success")
  func signalled() async throws {
    let exit = try await shell("kill -9 $$").tree.run()
    #expect(exit == .signal(9) && !exit.isSuccess)
  }

  @Test("a missing program or folder is named")
  func missing() async throws {
    let command = Command("/nowhere/program", environment: [:], workingDirectory: folder.path)
    let tree = ProcessTree(command, output: folder.path.appending("output"))
    await #expect(throws: ProcessError.self) { try await tree.run() }
    do { _ = try await tree.run() } catch { #expect("\(error)".contains("/nowhere/program")) }
    #expect(!tree.isRunning)
    await tree.stop(grace: .seconds(1))
  }

  /// A child that ignores SIGTERM and tells its pid, so that the test can see what became of it.
  static let stubbornChild =
    "(trap '' TERM; echo $BASHPID > child.new; mv child.new child; while :; do sleep 1000; done)"

  func child() async throws -> pid_t {
    let file = folder.path.appending("child")
    let lane = try IOLane(name: "child")
    return try await lane.run {
      while true {
        if let content = try Files.read(file), let pid = pid_t(String(decoding: content, as: UTF8.self).trimmed) {
          return pid
        }
        sched_yield()
      }
    }
  }

  func isAlive(_ pid: pid_t) throws -> Bool {
    guard let status = try Files.read(FilePath("/proc/\(pid)/stat")) else { return false }
    return !String(decoding: status, as: UTF8.self).contains(") Z ")
  }

  @Test("the children go with the leader that ended by itself")
  func leftover() async throws {
    let (tree, _) = shell("\(Self.stubbornChild) & while [ ! -e child ]; do :; done")
    #expect(try await tree.run() == .status(0))
    let pid = try await child()
    #expect(await gone(pid))
  }

  @Test("stopping: SIGTERM, grace, SIGKILL for the whole group")
  func stopping() async throws {
    let (tree, _) = shell("trap '' TERM; \(Self.stubbornChild)")
    async let exit = tree.run()
    let pid = try await child()
    await tree.stop(grace: .milliseconds(50))
    #expect(try await exit == .signal(9))
    #expect(await gone(pid))
  }

  @Test("stopping lets a leader end in peace within the grace")
  func graceful() async throws {
    let (tree, output) = shell("trap 'echo bye; exit 5' TERM; echo $$ > child; while :; do sleep 0.01; done")
    async let exit = tree.run()
    _ = try await child()
    await tree.stop(grace: .seconds(50))
    #expect(try await exit == .status(5))
    #expect(try text(output).hasSuffix("bye\n"))
  }

  @Test("stopped before it runs, it never does")
  func early() async throws {
    let (tree, output) = shell("echo started")
    await tree.stop(grace: .seconds(1))
    await #expect(throws: CancellationError.self) { try await tree.run() }
    #expect(!Files.exists(output))
  }

  @Test("cancelling kills the tree")
  func cancelling() async throws {
    let (tree, _) = shell(Self.stubbornChild)
    let run = Task { try await tree.run() }
    let pid = try await child()
    run.cancel()
    _ = await run.result
    #expect(await gone(pid))
  }

  /// Whether the process has ended; init reaps it a moment after the signal.
  func gone(_ pid: pid_t) async -> Bool {
    for _ in 0..<100_000 {
      guard (try? isAlive(pid)) == true else { return true }
      await Task.yield()
    }
    return false
  }
}

@Suite("Asking a program", .timeLimit(.minutes(1)))
struct ProgramTests {
  func ask(_ script: String, limit: Duration = .seconds(30)) async throws -> String {
    let command = Command(
      "/bin/sh", arguments: ["-c", script], environment: ["PATH": "/usr/bin:/bin"], workingDirectory: "/")
    return try await Program.output(of: command, limit: limit)
  }

  @Test("answers, failures and silence")
  func answers() async throws {
    #expect(try await ask("echo hello") == "hello\n")
    await #expect(throws: ProcessError.self) { try await ask("exit 1") }
    await #expect(throws: ProcessError.self) { try await ask("exec sleep 1000", limit: .milliseconds(50)) }
    await #expect(throws: ProcessError.self) { try await ask("head -c 2000000 /dev/zero") }
  }
}
