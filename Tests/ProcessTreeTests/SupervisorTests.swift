import CLinux
import Glibc
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("A supervised tree", .timeLimit(.minutes(1)))
struct SupervisorTests {
  let bench: Bench
  init() throws { bench = try Bench() }

  @Test("runs in its folder and session with just its environment, and appends its output")
  func running() async throws {
    try Files.replace(bench.output, with: Array("before\n".utf8))
    let tree = try await bench.start("echo $A $PWD $HOME; echo err >&2; ps -o sid= -p $$; echo $$; exit 3")
    #expect(try await tree.exit() == .status(3))
    #expect(try await tree.exit() == .status(3), "and says so again")
    let lines = try bench.text().split(separator: "\n").map { $0.trimmed }
    #expect(lines[0...2] == ["before", "b c \(bench.path)", "err"])
    #expect(lines[3] == lines[4])
    await bench.end(tree)
  }

  @Test("a program that is missing is named, and nothing is left")
  func missing() async throws {
    let command = Command("/nowhere/program", environment: [:], workingDirectory: bench.path)
    do {
      _ = try await bench.supervisor.start(command, output: bench.output, folder: bench.folder, lock: nil)
      Issue.record("it cannot be started")
    } catch {
      #expect("\(error)".contains("/nowhere/program") && "\(error)".contains("No such file"), "\(error)")
    }
    guard case .none = try await Supervisor.find(in: bench.folder) else { throw Unexpected("something was left") }
  }

  @Test("dies by a signal at once")
  func signalled() async throws {
    let tree = try await bench.start("kill -9 $$")
    let exit = try await tree.exit()
    #expect(exit == .signal(9) && !exit.isSuccess)
    await bench.end(tree)
  }

  @Test("ignores SIGTERM, with a child in a session of its own")
  func stubborn() async throws {
    let tree = try await bench.start("trap '' TERM; setsid sleep 1000 & echo up; while :; do sleep 1000; done")
    try await bench.says("up")
    #expect(await tree.stop(grace: .milliseconds(50)) == .gone)
    #expect(try await tree.exit() == .signal(9))
    await bench.end(tree)
  }

  @Test("another client finds it, and its lock, when the first has gone")
  func found() async throws {
    var lock: FileLock? = try FileLock(bench.path.appending("lock"))
    let identity = try await bench.start("sleep 1000", lock: lock).identity
    lock = nil
    #expect(throws: FileError.self) { try FileLock(bench.path.appending("lock")) }
    guard case .running(let tree) = try await Supervisor.find(in: bench.folder) else { throw Unexpected("not found") }
    #expect(tree.identity == identity)
    #expect(try await tree.status().children == 1)
    lock = try await tree.takeLock()
    #expect(lock != nil)
    #expect(await tree.stop(grace: .seconds(10)) == .gone)
    await bench.end(tree)
    #expect(throws: FileError.self) { try FileLock(bench.path.appending("lock")) }
    lock = nil
    _ = try FileLock(bench.path.appending("lock"))
  }
}

/// A folder for a supervisor, and what its tree prints.
final class Bench: Sendable {
  let path: FilePath
  let supervisor: Supervisor
  private let temporary: TemporaryFolder

  init(_ change: (inout Supervisor) -> Void = { _ in }) throws {
    temporary = try TemporaryFolder()
    path = temporary.path
    var supervisor = Supervisor()
    change(&supervisor)
    self.supervisor = supervisor
  }

  var output: FilePath { path.appending("output") }
  var folder: FilePath { path.appending(".supervisor") }

  func start(_ script: String, lock: FileLock? = nil) async throws -> SupervisedTree {
    let command = Command(
      "/bin/bash", arguments: ["-c", script], environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "A": "b c"],
      workingDirectory: path)
    return try await supervisor.start(command, output: output, folder: folder, lock: lock)
  }

  func text() throws -> String { String(decoding: try Files.read(output) ?? [], as: UTF8.self) }

  /// Waits until the tree has printed `text`.
  func says(_ text: String) async throws {
    let watch = try FileWatch(path)
    while try !self.text().contains(text) { try await watch.change() }
  }

  /// Collects the tree, which has to leave nothing behind.
  func end(_ tree: SupervisedTree) async {
    #expect(await tree.stop(grace: .seconds(1)) == .gone)
    await tree.release()
    #expect((try? Files.names(in: folder)) == [])
  }
}

/// Changes of files in a folder, as inotify tells them.
final class FileWatch: Sendable {
  private let descriptor: FileDescriptor
  private let lane: IOLane

  init(_ folder: FilePath) throws {
    descriptor = FileDescriptor(rawValue: inotify_init1(Int32(IN_CLOEXEC)))
    lane = try IOLane(name: "watch")
    let mask = UInt32(IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE)
    _ = folder.withPlatformString { inotify_add_watch(descriptor.rawValue, $0, mask) }
  }

  deinit { try? descriptor.close() }

  func change() async throws {
    let descriptor = descriptor
    _ = try await lane.run {
      var bytes = [UInt8](repeating: 0, count: 65536)
      return try bytes.withUnsafeMutableBytes { try descriptor.read(into: $0) }
    }
  }
}

struct Unexpected: Error {
  var problem: String
  init(_ problem: String) { self.problem = problem }
}
