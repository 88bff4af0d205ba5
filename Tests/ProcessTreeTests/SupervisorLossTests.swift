import Glibc
import Support
import SystemPackage
import TestSupport
import Testing

@testable import ProcessTree

@Suite("Without its supervisor", .timeLimit(.minutes(1)))
struct SupervisorLossTests {
  /// A leader with a child in a session of its own.
  static let script = "trap '' TERM; setsid sleep 1000 & echo up; while :; do sleep 1000; done"

  func state(_ bench: Bench) -> FilePath { bench.folder.appending("state") }

  func ended(_ bench: Bench) async throws -> SupervisedEnd {
    guard case .ended(let end) = try await bench.find() else { throw Unexpected("no end") }
    return end
  }

  @Test("a tree is told to be lost, and what is left of it can be ended", arguments: Grouping.available)
  func killed(_ grouping: Grouping) async throws {
    let bench = try Bench(grouping: grouping)
    let tree = try await bench.start(Self.script)
    try await bench.says("up")
    let group = try await tree.status().cgroup
    kill(tree.identity.pid, SIGKILL)
    await #expect(throws: SupervisorLost(identity: tree.identity, folder: bench.folder)) { try await tree.exit() }
    await #expect(throws: SupervisorLost.self) { try await tree.status() }
    // The leader dies with it.
    let leader = tree.record.leader
    let lane = try IOLane(name: "end")
    _ = try await lane.run { ProcessID.waitForEnd(of: leader.pid, limit: .seconds(30)) }
    #expect(ProcessID(of: leader.pid) != leader)
    #expect(try await bench.left() != [])
    #expect(await tree.stop(grace: .seconds(1)) == .gone)
    #expect(try await bench.left() == [])
    #expect(group.map { Files.exists($0) } != true)
    await tree.release()
    #expect(try Files.names(in: bench.folder) == [])
  }

  // Without a group it is likely, but cannot be proven, that a scan of /proc meets each process that moves on.
  @Test(
    "a group that a lost supervisor has left is removed by the next",
    .enabled(if: Grouping.hasGroups, "no cgroup v2 can be made here"))
  func abandonedGroup() async throws {
    let bench = try Bench(grouping: .with)
    let parent = try #require(ControlGroup.own)
    // A process id that nobody has, and one of somebody else's.
    let left = ["job-4194303-1", "job-\(getpid())-1"].map { parent.appending($0) }
    let others = ["job-\(getpid())", "jobs-1-1"].map { parent.appending($0) }
    for group in left + others { try #require(group.withPlatformString { mkdir($0, 0o755) } == 0) }
    defer { for group in left + others { _ = group.withPlatformString { rmdir($0) } } }
    try await bench.end(try await bench.start("sleep 1000"))
    #expect(left.allSatisfy { !Files.exists($0) } && others.allSatisfy(Files.exists))
  }

  @Test("a moving tree is ended, too", .enabled(if: Grouping.hasGroups, "no cgroup v2 can be made here"))
  func moving() async throws {
    let bench = try Bench(grouping: .with)
    let tree = try await bench.grow("moving", "2")
    kill(tree.identity.pid, SIGKILL)
    #expect(await tree.stop(grace: .zero) == .gone)
    #expect(try await bench.left() == [])
  }

  @Test("a client that comes later finds what the state file says")
  func found() async throws {
    let bench = try Bench()
    let identity = try await bench.start(Self.script).identity
    try await bench.says("up")
    kill(identity.pid, SIGKILL)
    let end = try await ended(bench)
    #expect(end.identity == identity && end.exit == nil && end.isOfThisBoot)
    #expect(await end.clear() == .gone)
    #expect(try await bench.left() == [])
    guard case .none = try await bench.find() else { throw Unexpected("something was left") }
  }

  @Test("a process without an environment keeps nobody waiting for long")
  func withoutEnvironment() async throws {
    let (bench, other) = (try Bench(), try Bench())
    let tree = try await other.start("echo up; exec env -i sleep 1000")
    try await other.says("up")
    kill(try await bench.start(Self.script).identity.pid, SIGKILL)
    let start = ContinuousClock.now
    #expect(await (try ended(bench)).clear() == .gone)
    // It could be one that is just beginning a program.
    #expect((.milliseconds(100) ..< .seconds(5)).contains(start.duration(to: .now)))
    #expect(try await tree.status().exit == nil)
    try await other.end(tree)
  }

  @Test("the socket was deleted: who has a connection goes on, who comes later ends all of it")
  func socketDeleted() async throws {
    let bench = try Bench()
    let tree = try await bench.start(Self.script)
    try await bench.says("up")
    try Files.remove(bench.folder.appending("socket"))
    #expect(try await tree.status().exit == nil)
    #expect(await (try ended(bench)).clear() == .gone)
    #expect(try await bench.left() == [])
    await #expect(throws: SupervisorLost.self) { try await tree.exit() }
  }

  @Test(
    "the state file is gone or forged: the socket is what counts", arguments: [nil, "nonsense", "job-supervisor 9"])
  func stateForged(_ content: String?) async throws {
    let bench = try Bench()
    let identity = try await bench.start("sleep 1000").identity
    try Files.remove(state(bench))
    if let content { try Files.replace(state(bench), with: Array(content.utf8)) }
    guard case .running(let tree) = try await bench.find() else { throw Unexpected("not found") }
    #expect(tree.identity == identity)
    try await bench.end(tree)
  }

  @Test("a state file that nobody understands")
  func nonsense() async throws {
    let bench = try Bench()
    try Files.makeDirectory(bench.folder)
    try Files.replace(state(bench), with: Array("job-supervisor 1 x y\nrunning\n".utf8))
    let end = try await ended(bench)
    #expect(end.identity == nil && end.exit == nil)
    #expect(await end.clear() == .gone)
    #expect(try Files.names(in: bench.folder) == [])
  }

  @Test("of an earlier boot, with recycled pids, or forged: nobody is killed for it")
  func stale() async throws {
    let innocent = try await Bench().startRaw("/bin/sleep", "1000")
    let words = try #require(try await innocent.ask("status")).split(separator: "\t")
    let leader = try #require(words.first { $0.hasPrefix("leader ") }).split(separator: " ")
    let (pid, start) = (leader[1], try #require(UInt64(leader[2])))
    let own = ControlGroup.own?.string ?? "/sys/fs/cgroup"
    for state in [
      // The right process, but of another boot.
      "job-supervisor 1 \(pid) \(start)\nboot 1-2\nleader \(pid) \(start)\nrunning\nno-cgroup x\nmark A=b\n",
      // The number of another one.
      "job-supervisor 1 \(pid) 9\nboot \(Boot.id)\nleader \(pid) 9\nrunning\nno-cgroup x\n",
      // A mark that is not that of this folder's processes.
      "job-supervisor 1 4194303 9\nboot \(Boot.id)\nleader 4194303 9\nrunning\nno-cgroup x\nmark A=b c\n",
      // A process that is no supervisor, and a group that is none of one.
      "job-supervisor 1 \(pid) \(start)\nboot \(Boot.id)\nleader \(pid) 9\nrunning\ncgroup \(own)\n",
    ] {
      let bench = try Bench()
      try Files.makeDirectory(bench.folder)
      try Files.replace(self.state(bench), with: Array(state.utf8))
      let end = try await ended(bench)
      #expect(end.isOfThisBoot == !state.contains("boot 1-2"))
      #expect(await end.clear() == .gone)
    }
    #expect(try await innocent.ask("status")?.contains("\trunning\t") == true)
    #expect(try await innocent.ask("stop 0") == "stop gone")
    #expect(try await innocent.ask("release") == "release done")
  }

  @Test("somebody else's folder counts for nothing", .enabled(if: geteuid() == 0, "only root can give it away"))
  func foreign() async throws {
    let bench = try Bench()
    let supervisor = try await bench.startRaw(user: "65534", "/bin/sleep", "1000")
    await #expect(throws: ProcessError.self) { try await bench.find() }
    #expect(try await supervisor.ask("stop 0") == "stop gone")
    #expect(try await supervisor.ask("release") == "release done")
  }

  @Test("processes are found by their mark and by their folder")
  func leftovers() async throws {
    let bench = try Bench()
    // A process that is just beginning another program has no environment for a moment.
    let tree = try await bench.start("mkfifo pipe; echo up; read -r _ <>pipe")
    try await bench.says("up")
    let leader = try await tree.status().leader
    #expect(try await bench.left().map(\.pid) == [leader])
    #expect(Leftovers.find(workingBelow: bench.path).map(\.pid) == [leader])
    #expect(Leftovers.find(workingBelow: bench.folder) == [])
    try await bench.end(tree)
  }

  @Test("a mark is a whole entry, wherever in the environment")
  func marks() async throws {
    let bench = try Bench()
    let long = "LONG=" + String(repeating: "x", count: 16384)
    let tree = try await bench.start(
      "exec env A=OTHER=1 \(long) MARK=1 MARKED=2 sh -c 'mkfifo pipe; echo up; read -r _ <>pipe'")
    try await bench.says("up")
    let leader = try await tree.status().leader
    for mark in ["MARK=1", long, "MARKED=2"] { #expect(Leftovers.find(mark: mark).map(\.pid) == [leader]) }
    for mark in ["MARK=", "OTHER=1", "LONG=x"] { #expect(Leftovers.find(mark: mark) == []) }
    try await bench.end(tree)
  }
}
