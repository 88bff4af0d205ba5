import Support
import SystemPackage
import TestSupport
import Testing

@testable import ProcessTree

@Suite("A program that is waited for", .timeLimit(.minutes(1)))
struct ProgramTests {
  let folder: TemporaryFolder
  var output: FilePath { folder.path.appending("output") }

  init() throws { folder = try TemporaryFolder() }

  func command(_ script: String) -> Command {
    Command(
      "/bin/bash", arguments: ["-c", script], environment: ["PATH": "/usr/bin:/bin", "A": "b c"],
      workingDirectory: folder.path)
  }

  @Test("runs in its folder and session with just its environment, and appends its output")
  func running() async throws {
    try Files.replace(output, with: Array("before\n".utf8))
    let script = "echo $A $PWD $HOME; echo err >&2; ps -o sid= -p $$; echo $$; exit 3"
    #expect(try await Program.run(command(script), appendingTo: output) == .status(3))
    let lines = String(decoding: try Files.read(output) ?? [], as: UTF8.self).split(separator: "\n").map(\.trimmed)
    #expect(lines[0...2] == ["before", "b c \(folder.path)", "err"])
    #expect(lines[3] == lines[4])
  }

  @Test("a signal is no success")
  func signalled() async throws {
    let exit = try await Program.run(command("kill -9 $$"), appendingTo: output)
    #expect(exit == .signal(9) && !exit.isSuccess)
  }

  @Test("a missing program is named")
  func missing() async throws {
    let command = Command("/nowhere/program", environment: [:], workingDirectory: folder.path)
    let error = await #expect(throws: ProcessError.self) { try await Program.run(command, appendingTo: output) }
    #expect(error?.description.contains("/nowhere/program") == true)
  }

  @Test("cancelling kills it and its children")
  func cancelling() async throws {
    let script = "sleep 1000 & echo $! > child.new; mv child.new child; wait"
    let child = try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { _ = try? await Program.run(command(script), appendingTo: output) }
      let file = folder.path.appending("child")
      while !Files.exists(file) { await Task.yield() }
      group.cancelAll()
      try await group.waitForAll()
      return String(decoding: try Files.read(file) ?? [], as: UTF8.self).trimmed
    }
    // SIGKILL was sent: its end may still be on its way.
    let pid = try #require(Int32(child))
    #expect(try await IOLane(name: "child").run { ProcessID.waitForEnd(of: pid, limit: .seconds(30)) })
  }
}
