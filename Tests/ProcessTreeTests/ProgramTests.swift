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
      try await waitForFiles(in: folder.path) { Files.exists(file) }
      group.cancelAll()
      try await group.waitForAll()
      return String(decoding: try Files.read(file) ?? [], as: UTF8.self).trimmed
    }
    // SIGKILL was sent: its end may still be on its way.
    let pid = try #require(Int32(child))
    #expect(try await IOLane(name: "child").run { ProcessID.waitForEnd(of: pid, limit: .seconds(30)) })
  }

  @Test("what it says on both outputs, and how it ends")
  func answer() async throws {
    let answer = try await Program.answer(of: command("echo out; echo err >&2; exit 3"), limit: .seconds(30))
    #expect(answer.exit == .status(3) && answer.output == Array("out\n".utf8) && answer.errors == "err\n")
  }

  @Test("an answer that does not come: it is killed with its children, and who holds its outputs is not waited for")
  func noAnswer() async throws {
    for script in ["sleep 1000 | cat", "setsid sleep 5 & exec sleep 1000"] {
      let error = await #expect(throws: ProcessError.self) {
        _ = try await Program.answer(of: command(script), limit: .milliseconds(200))
      }
      #expect(error?.description.contains("/bin/bash did not end within 0.2 seconds") == true)
    }
    #expect(try await Program.answer(of: command("setsid sleep 5 & exit 0"), limit: .seconds(30)).exit == .status(0))
  }

  @Test("an answer that does not end")
  func endlessAnswer() async throws {
    let error = await #expect(throws: ProcessError.self) {
      _ = try await Program.answer(of: command("yes"), limit: .seconds(30), size: 100)
    }
    #expect(error?.description.hasPrefix("cannot run /bin/bash") == true)
  }
}
