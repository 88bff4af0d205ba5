import Glibc
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("The end of a tree", .timeLimit(.minutes(1)))
struct StoppingTests {
  @Test("in a control group of its own", .enabled(if: Grouping.hasGroups, "no cgroup v2 can be made here"))
  func group() async throws {
    let bench = try Bench(grouping: .with)
    let tree = try await bench.start("cat /proc/self/cgroup; sleep 1000")
    let group = try #require(try await tree.status().cgroup)
    try await bench.says("/job-\(tree.identity.pid)-\(tree.identity.startTime)\n")
    #expect(Files.exists(group))
    try await bench.end(tree)
  }

  @Test("without a group, and the reason")
  func noGroup() async throws {
    var supervisor = try Bench().supervisor
    for (parent, reason): (FilePath?, _) in [
      (nil, "--cgroup"), ("/nowhere", "No such file"), ("/dev/shm", "No such file"),
    ] {
      let bench = try Bench()
      supervisor.cgroupParent = parent
      let tree = try await supervisor.start(
        bench.command("/bin/true", []), output: bench.output, folder: bench.folder)
      let status = try await tree.status()
      #expect(status.cgroup == nil && status.noCgroup?.contains(reason) == true)
      try await bench.end(tree)
    }
  }

  @Test("ignores SIGTERM, with a child in a session of its own", arguments: Grouping.available)
  func stubborn(_ grouping: Grouping) async throws {
    let bench = try Bench(grouping: grouping)
    let tree = try await bench.start("trap '' TERM; setsid sleep 1000 & echo up; while :; do sleep 1000; done")
    try await bench.says("up")
    #expect(await tree.stop(grace: .milliseconds(50)) == .gone)
    #expect(try await tree.exit() == .signal(9))
    try await bench.end(tree)
  }

  @Test("ends in peace within the grace, as do the others of its session", arguments: Grouping.available)
  func graceful(_ grouping: Grouping) async throws {
    let bench = try Bench(grouping: grouping)
    let child = "(trap 'echo child; exit' TERM; echo one; while :; do sleep 0.01; done)"
    let tree = try await bench.start(
      "trap 'echo bye; wait; exit 5' TERM; \(child) & echo two; while :; do sleep 0.01; done")
    for text in ["one", "two"] { try await bench.says(text) }
    #expect(await tree.stop(grace: .seconds(50)) == .gone)
    #expect(try await tree.exit() == .status(5))
    let text = try bench.text()
    #expect(text.contains("bye\n") && text.contains("child\n"))
    try await bench.end(tree)
  }

  @Test("the leader has ended by itself: who is left of its session gets SIGTERM, then all are killed")
  func leftover() async throws {
    let bench = try Bench()
    let child = "(trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.01; done)"
    let tree = try await bench.start("\(child) & setsid sleep 1000 & exit 0")
    #expect(try await tree.exit() == .status(0))
    try await bench.says("up")
    #expect(try await tree.status().children == 2)
    // Who was not asked, in a session of its own, gets no grace.
    #expect(await tree.stop(grace: .seconds(1000)) == .gone)
    #expect(try bench.text().contains("bye"))
    try await bench.end(tree)
  }

  @Test("a second stop joins the first and can shorten its grace")
  func joined() async throws {
    let bench = try Bench()
    let tree = try await bench.start("trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done")
    try await bench.says("up")
    async let first = tree.stop(grace: .seconds(1000))
    try await bench.says("asked")
    #expect(await tree.stop(grace: .milliseconds(10)) == .gone)
    #expect(await first == .gone)
    try await bench.end(tree)
  }

  @Test("has stopped itself", arguments: Grouping.available)
  func suspended(_ grouping: Grouping) async throws {
    let bench = try Bench(grouping: grouping)
    let tree = try await bench.start("echo up; kill -STOP $$")
    try await bench.says("up")
    #expect(await tree.stop(grace: .seconds(50)) == .gone)
    #expect(try await tree.exit() == .signal(15))
    try await bench.end(tree)
  }

  @Test("500 processes, 160 of them in sessions of their own", arguments: Grouping.available)
  func many(_ grouping: Grouping) async throws {
    let bench = try Bench(grouping: grouping)
    let tree = try await bench.grow("many", "500")
    #expect(try await bench.left().count >= 500)
    try await bench.end(tree, grace: .zero)
  }

  /// 5 runs, 100 with LONG_TESTS.
  static let runs = getenv("LONG_TESTS") == nil ? 5 : 100

  @Test("moves on without end while it is stopped", .timeLimit(.minutes(5)), arguments: Grouping.available)
  func moving(_ grouping: Grouping) async throws {
    for _ in 0..<StoppingTests.runs {
      let bench = try Bench(grouping: grouping)
      let tree = try await bench.grow("moving", "10")
      try await bench.end(tree, grace: .zero)
    }
  }

  @Test(
    "all of that as an ordinary user", .enabled(if: geteuid() == 0, "only root can be somebody else"),
    arguments: [["many", "500"], ["moving", "10"]], Grouping.available)
  func ordinaryUser(_ tree: [String], _ grouping: Grouping) async throws {
    let bench = try Bench()
    let options = grouping == .with ? ["--cgroup", ControlGroup.own?.string ?? ""] : []
    let supervisor = try await bench.startRaw(
      user: "65534", options: options + ["--mark", bench.mark], Bench.treeMaker.string, tree[0], tree[1])
    try await bench.says("up")
    let status = try #require(try await supervisor.ask("status"))
    #expect(status.contains("\tno-cgroup "), "it may not make one: \(status)")
    #expect(try await supervisor.ask("stop 0") == "stop gone")
    #expect(try await bench.left() == [])
    #expect(try await supervisor.ask("release") == "release done")
  }

  @Test(
    "a child of another user is killed by its group, else named",
    .enabled(if: geteuid() == 0, "only root can make a set-user-ID program"), arguments: Grouping.available)
  func otherUser(_ grouping: Grouping) async throws {
    let bench = try Bench()
    let program = bench.path.appending("sudo")
    try Files.replace(program, with: try Files.read(Bench.treeMaker) ?? [])
    _ = program.withPlatformString { chmod($0, 0o4755) }
    let group = grouping == .with ? try OwnedGroup() : nil
    let supervisor = try await bench.startRaw(
      user: "65534", options: group.map { ["--cgroup", $0.path.string] } ?? [], "/bin/sh", "-c", "./sudo root; :")
    try await bench.says("up")
    let isGrouped = try await supervisor.ask("status")?.contains("\tcgroup ") ?? false
    let end = try #require(try await supervisor.ask("stop 0"))
    if isGrouped {
      #expect(end == "stop gone")
    } else {
      #expect(end.hasPrefix("stop survivors\t") && end.hasSuffix(" ./sudo root"), "\(end)")
      #expect(try await supervisor.ask("release") == "release pending")
      kill(try #require(pid_t(end.split(separator: "\t")[1].prefix { $0 != " " })), SIGKILL)
      while try await supervisor.line() != nil {}
    }
    #expect(try Files.names(in: bench.folder) == [])
  }
}

/// A control group that was given to an ordinary user.
final class OwnedGroup: Sendable {
  let path: FilePath

  init() throws {
    path = try #require(ControlGroup.own).appending("test-\(getpid())-\(UInt32.random(in: 0 ... .max))")
    try Files.makeDirectory(path)
    for file in [path] + (try Files.entries(in: path)) { _ = file.withPlatformString { chown($0, 65534, 65534) } }
  }

  deinit { _ = path.withPlatformString { rmdir($0) } }
}
