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
    try await bench.end(tree)
  }

  @Test("has nothing of its supervisor: signals, descriptors, standard input; but its niceness")
  func inheritance() async throws {
    var supervisor = bench.supervisor
    supervisor.niceness = 7
    let script = "nice; grep -E 'Sig(Blk|Ign)' /proc/self/status; cat; exec ls -l /proc/self/fd"
    let lock = try FileLock(bench.path.appending("lock"))
    let tree = try await supervisor.start(
      bench.command("/bin/sh", ["-c", script]), output: bench.output, folder: bench.folder, lock: lock)
    #expect(try await tree.exit() == .status(0))
    let text = try bench.text()
    #expect(text.hasPrefix("7\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"), "\(text)")
    // Three descriptors and the folder that is listed.
    #expect(text.split(separator: "\n").count { $0.contains(" -> ") } == 4, "\(text)")
    #expect(text.contains("0 -> /dev/null"))
    try await bench.end(tree)
  }

  @Test("a program that is missing is named, and nothing is left")
  func missing() async throws {
    let command = Command("/nowhere/program", environment: [:], workingDirectory: bench.path)
    do {
      _ = try await bench.supervisor.start(command, output: bench.output, folder: bench.folder)
      Issue.record("it cannot be started")
    } catch {
      #expect("\(error)".contains("/nowhere/program") && "\(error)".contains("No such file"), "\(error)")
    }
    guard case .none = try await bench.find() else { throw Unexpected("something was left") }
  }

  @Test("what cannot be made is named: output, folder, supervisor")
  func unwritable() async throws {
    let command = bench.command("/bin/true", [])
    func fails(_ supervisor: Supervisor, output: FilePath, folder: FilePath, naming text: String) async {
      do {
        _ = try await supervisor.start(command, output: output, folder: folder)
        Issue.record("it cannot be started")
      } catch {
        #expect("\(error)".contains(text), "\(error)")
      }
    }
    await fails(bench.supervisor, output: "/nowhere/output", folder: bench.folder, naming: "the output file")
    await fails(bench.supervisor, output: bench.output, folder: "/nowhere/folder", naming: "/nowhere/folder")
    await fails(
      Supervisor(places: ["/nowhere/s", "/nowhere/t"]), output: bench.output, folder: bench.folder,
      naming: "/nowhere/s and /nowhere/t")
  }

  @Test("a limit of open files that is too low is raised, or named")
  func openFiles() async throws {
    func answer(_ limit: String) async throws -> String {
      let places = "--folder '\(bench.folder)' --output '\(bench.output)'"
      let supervisor = "'\(Supervisor.besideProgram)' \(places) -- /bin/true"
      let command = bench.command("/bin/sh", ["-c", "ulimit \(limit); \(supervisor); true"])
      return try await Program.output(of: command, limit: .seconds(30))
    }
    #expect(try await answer("-n 50") == "error: only 50 files can be open at a time, 96 are needed\n")
    #expect(try await answer("-Sn 50").hasPrefix("ready "))
    guard case .running(let tree) = try await bench.find() else { throw Unexpected("no tree") }
    #expect(try await tree.exit() == .status(0))
    try await bench.end(tree)
  }

  @Test("dies by a signal at once")
  func signalled() async throws {
    let tree = try await bench.start("kill -9 $$")
    let exit = try await tree.exit()
    #expect(exit == .signal(9) && !exit.isSuccess)
    try await bench.end(tree)
  }

  @Test("closes its output and goes on")
  func closing() async throws {
    let tree = try await bench.start("exec >&- 2>&-; sleep 0.01; exit 4")
    #expect(try await tree.exit() == .status(4))
    try await bench.end(tree)
  }

  @Test("writes more than anybody reads")
  func writing() async throws {
    let megabytes = getenv("LONG_TESTS") == nil ? 200 : 1024
    let tree = try await bench.start("head -c \(megabytes)M /dev/zero")
    #expect(try await tree.exit() == .status(0))
    #expect(Files.status(of: bench.output)?.size == Int64(megabytes) << 20)
    try await bench.end(tree)
  }

  @Test("its state file has the exit status as soon as that is told")
  func stateFile() async throws {
    let tree = try await bench.start("exit 3")
    #expect(try await tree.exit() == .status(3))
    let state = String(decoding: try Files.read(bench.folder.appending("state")) ?? [], as: UTF8.self)
    #expect(state.contains("\nexited 3\n"))
    try await bench.end(tree)
  }

  @Test("is found by another client, with its lock, when the first has gone")
  func found() async throws {
    let path = bench.path.appending("lock")
    var lock: FileLock? = try FileLock(path)
    let identity = try await bench.start("sleep 1000", lock: lock).identity
    lock = nil
    #expect(throws: FileError.self) { try FileLock(path) }
    guard case .running(let tree) = try await bench.find() else { throw Unexpected("not found") }
    #expect(tree.identity == identity)
    #expect(try await tree.status().children == 1)
    lock = try await tree.takeLock()
    #expect(lock != nil)
    try await bench.end(tree)
    #expect(throws: FileError.self) { try FileLock(path) }
    lock = nil
    _ = try FileLock(path)
  }

  @Test("the lock that a supervisor holds and POSIX locks exclude each other")
  func posixLocks() async throws {
    let path = bench.path.appending("lock")
    var lock: FileLock? = try FileLock(path)
    let tree = try await bench.start("sleep 1000", lock: lock)
    lock = nil
    #expect(
      try await Program.run(bench.command(Bench.treeMaker.string, ["lock", path.string]), appendingTo: bench.output)
        == .status(1))
    #expect(try bench.text() == "locked\n")
    #expect(try await tree.takeLock() != nil)
    try await bench.end(tree)

    let other = try await bench.grow("lock", path.string)
    do {
      _ = try FileLock(path)
      Issue.record("the other process has the lock")
    } catch {
      #expect(error.errno == .resourceTemporarilyUnavailable)
    }
    try await bench.end(other)
  }

  @Test("folders with long names")
  func longNames() async throws {
    let folder = bench.path.appending(String(repeating: "x", count: 200)).appending(String(repeating: "y", count: 200))
    try Files.makeDirectory(folder.removingLastComponent())
    let tree = try await bench.supervisor.start(bench.command("/bin/true", []), output: bench.output, folder: folder)
    #expect(try await tree.exit() == .status(0))
    try await bench.end(tree)
    #expect(try Files.names(in: folder) == [])
  }

  @Test("a start that is cancelled leaves nothing", arguments: 0..<10)
  func cancelled(_ steps: Int) async throws {
    let bench = bench
    let path = bench.path.appending("lock")
    // The supervisor holds it from its first moment to its last.
    var lock: FileLock? = try FileLock(path)
    let start = Task { [lock] in try await bench.start("sleep 1000", lock: lock) }
    // Not a time but some chance to get on: the start is cancelled in another place each time.
    for _ in 0..<(steps * 200) { await Task.yield() }
    start.cancel()
    let tree = try? await start.value
    lock = nil
    if let tree {
      try await bench.end(tree)
    } else {
      try await bench.waitForUnlocked(path)
      #expect(try !Files.exists(bench.folder) || Files.names(in: bench.folder).isEmpty)
      #expect(try await bench.left() == [])
    }
  }

  @Test("waiting for the end can be cancelled; stopping goes on")
  func cancelledWaits() async throws {
    let tree = try await bench.start("trap '' TERM; echo up; while :; do sleep 1000; done")
    try await bench.says("up")
    let exit = Task { try await tree.exit() }
    exit.cancel()
    await #expect(throws: CancellationError.self) { try await exit.value }
    let stop = Task { await tree.stop(grace: .milliseconds(10)) }
    stop.cancel()
    #expect(await stop.value == .gone)
    try await bench.end(tree)
  }

  @Test("one that nobody asks for is stopped, and its end can be found")
  func orphan() async throws {
    let bench = try Bench(orphanLimit: .milliseconds(100))
    _ = try await bench.start("setsid sleep 1000 & sleep 1000").identity
    try await waitForFiles(in: bench.folder) { !Files.exists(bench.folder.appending("socket")) }
    guard case .ended(let end) = try await bench.find() else { throw Unexpected("no end") }
    #expect(end.exit == .signal(15) && end.isOfThisBoot)
    #expect(await end.clear() == .gone)
    #expect(try await bench.left() == [])
    guard case .none = try await bench.find() else { throw Unexpected("something was left") }
  }

  @Test(
    "a disk that is full: before the start nothing is left, after it the exit is told and the tree ended",
    .enabled(if: Mount.isAllowed, "this process may not mount: it is not root's"), arguments: [true, false])
  func fullDisk(isBefore: Bool) async throws {
    try Files.makeDirectory(bench.folder)
    let mount = try Mount(on: bench.folder, size: 1 << 20)
    let filling = bench.folder.appending("filling")
    func fill() {
      #expect(throws: FileError.self) { try Files.append([UInt8](repeating: 0, count: 2 << 20), to: filling) }
    }
    if isBefore {
      fill()
      do {
        _ = try await bench.start("sleep 1000")
        Issue.record("it cannot be started")
      } catch { #expect("\(error)".contains("No space left on device"), "\(error)") }
    } else {
      let tree = try await bench.start("setsid sleep 1000 & sleep 1000")
      fill()
      #expect(await tree.stop(grace: .zero) == .gone)
      // Without a grace period SIGKILL can be there before SIGTERM has had its effect.
      let exit = try await tree.exit()
      #expect(exit == .signal(15) || exit == .signal(9), "\(exit)")
      await tree.release()
    }
    try await waitForFiles(in: bench.folder) { try Files.names(in: bench.folder) == ["filling"] }
    #expect(try await bench.left() == [])
    withExtendedLifetime(mount) {}
  }
}
