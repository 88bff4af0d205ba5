import Foundation
import Support
import SystemPackage
import TestSupport
import Testing

@testable import ProcessTree

@Suite("The protocol of supervisors", .timeLimit(.minutes(1)))
struct SupervisorProtocolTests {
  let bench: Bench
  init() throws { bench = try Bench() }

  static func fixture(_ name: String) throws -> [Substring] {
    let url = try #require(Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: nil))
    let text = String(decoding: try #require(try Files.read(FilePath(url.path))), as: UTF8.self)
    return text.split(separator: "\n").filter { !$0.hasPrefix("#") }
  }

  /// Whether a line is as the fixture says, where words in capitals stand for what changes.
  static func fits(_ line: some StringProtocol, _ pattern: some StringProtocol) -> Bool {
    let (items, patterns) = (line.split(separator: "\t"), pattern.split(separator: "\t"))
    return items.count == patterns.count
      && zip(items, patterns).allSatisfy { item, pattern in
        let (words, wanted) = (item.split(separator: " "), pattern.split(separator: " "))
        return zip(words, wanted).allSatisfy { word, wanted in
          switch wanted {
          case "PID", "TICKS": UInt64(word) != nil
          case "BOOT": word.count == 36
          case "TEXT": true
          default: word == wanted
          }
        } && (words.count == wanted.count || wanted.last == "TEXT")
      }
  }

  @Test("version 1 is spoken as it was recorded")
  func recorded() async throws {
    let lock = try FileLock(bench.path.appending("lock"))
    let command = bench.command("/bin/sleep", ["1000"])
    let tree = try await bench.supervisor.start(command, output: bench.output, folder: bench.folder, lock: lock)
    let conversation = try Conversation(bench.folder)
    for line in try Self.fixture("conversation-1.txt") {
      if line.hasPrefix("C: ") {
        conversation.send(String(line.dropFirst(3)))
      } else {
        let answer = try #require(try await conversation.line())
        #expect(Self.fits(answer, line.dropFirst(3)), "\(answer) is not \(line)")
      }
    }
    #expect(try await conversation.line() == nil)
    await #expect(throws: SupervisorLost.self) { try await tree.status() }
  }

  @Test("state files of version 1 are understood and written")
  func stateFile() async throws {
    let recorded = try Self.fixture("state-1.txt")
    let mark = "NAME=some value"
    let text = recorded.joined(separator: "\n")
    let record = try SupervisorRecord(text, separator: "\n", mark: mark)
    #expect(record.identity == .init(pid: 4711, startTime: 123_456, bootID: "673b4632-7b6b-4af8-b855-712b11e05fa5"))
    #expect(record.leader == ProcessID(pid: 4712, startTime: 123_457))
    #expect(record.exit == .signal(9))
    #expect(record.cgroup == "/sys/fs/cgroup/a b/job-4711-123456" && record.ownCgroup == record.cgroup)
    #expect(record.mark == mark)
    #expect(try SupervisorRecord(text, separator: "\n", mark: "NAME=some").mark == nil)
    #expect(throws: SupervisorRecord.Problem.newer(2)) {
      try SupervisorRecord(text.replacing("supervisor 1", with: "supervisor 2"), separator: "\n", mark: mark)
    }
    for index in 0..<4 {
      var broken = recorded
      broken.remove(at: index)
      #expect(throws: SupervisorRecord.Problem.corrupt) {
        try SupervisorRecord(broken.joined(separator: "\n"), separator: "\n", mark: mark)
      }
    }
  }

  @Test("nonsense hurts nobody")
  func nonsense() async throws {
    let tree = try await bench.start("sleep 1000")
    var crowd: [Conversation] = []
    for line in ["", "\0\0", "stop", "stop -1", "stop x", "stop 1 2", "stop 99999999999", "STATUS"] {
      let one = try Conversation(bench.folder)
      #expect(try await one.line() != nil)
      one.send(line)
      #expect(try await one.line() == "error unknown request")
      crowd.append(one)
    }
    let endless = try Conversation(bench.folder)
    endless.send(String(repeating: "x", count: 5000))
    while (try? await endless.line()) ?? nil != nil {}
    // Asks, and never reads.
    let deaf = try Conversation(bench.folder)
    _ = fcntl(deaf.socket.rawValue, F_SETFL, O_NONBLOCK)
    for _ in 0..<10_000 { deaf.send("status") }
    // More of them than there are places.
    for _ in 0..<80 { crowd.append(try Conversation(bench.folder)) }
    #expect(try await tree.status().exit == nil)
    crowd = []
    try await bench.end(tree)
  }

  @Test("a second supervisor in the same folder is refused, a dead one's socket is not in the way")
  func twice() async throws {
    let tree = try await bench.start("sleep 1000")
    var other = bench.supervisor
    other.markName = "OTHER"
    do {
      let command = bench.command("/bin/sleep", ["1000"])
      _ = try await other.start(command, output: bench.output, folder: bench.folder)
      Issue.record("there is one")
    } catch {
      #expect("\(error)".contains("in use"), "\(error)")
    }
    #expect(try await tree.status().exit == nil)
    kill(tree.identity.pid, SIGKILL)
    await #expect(throws: SupervisorLost.self) { try await tree.exit() }
    let second = try await bench.start("exit 6")
    #expect(try await second.exit() == .status(6))
    try await bench.end(second)
  }

  @Test("other users get no word", .enabled(if: geteuid() == 0, "only root can be somebody else"))
  func otherUser() async throws {
    let tree = try await bench.start("sleep 1000")
    for (path, mode) in [(bench.path, 0o755), (bench.folder, 0o755), (bench.folder.appending("socket"), 0o666)] {
      _ = path.withPlatformString { chmod($0, mode_t(mode)) }
    }
    let script = "use IO::Socket::UNIX; $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print 'got ', <$s>"
    let ask = ["perl", "-e", script, bench.folder.appending("socket").string]
    let other = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
    #expect(try await Program.output(of: bench.command("setpriv", other + ask), limit: .seconds(30)) == "got ")
    try await bench.end(tree)
  }

  @Test("a newer supervisor is ended, whether it does that itself or has to be killed", arguments: [true, false])
  func newer(obeys: Bool) async throws {
    let bench = try Bench()
    try await bench.startNewer(obeys: obeys)
    guard case .newer(let supervisor) = try await bench.find() else { throw Unexpected("not told") }
    #expect(supervisor.version == 2)
    #expect(await supervisor.end(limit: obeys ? .seconds(60) : .milliseconds(100)) == .gone)
    #expect(try await bench.left() == [])
    #expect(try bench.text().contains("asked to end") && Files.names(in: bench.folder) == [])
  }

  @Test("whoever is no supervisor is not believed")
  func forged() async throws {
    let script = """
      use IO::Socket::UNIX; $s = IO::Socket::UNIX->new(Local => 'supervisor/socket', Listen => 9) or die; \
      $| = 1; print "up\\n"; while ($c = $s->accept) { print $c "job-supervisor 1 1 1\\n"; push @c, $c }
      """
    try Files.makeDirectory(bench.folder)
    let other = try Bench()
    let command = Command(
      "perl", arguments: ["-e", script], environment: ["PATH": "/usr/bin:/bin"], workingDirectory: bench.path)
    let tree = try await other.supervisor.start(command, output: other.output, folder: other.folder)
    try await other.says("up")
    await #expect(throws: ProcessError.self) { try await bench.find() }
    try await other.end(tree)
  }
}
