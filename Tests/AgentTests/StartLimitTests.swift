import Configuration
import Glibc
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

@testable import Agent

@Suite("The limit of starts", .timeLimit(.minutes(1)))
struct StartLimitTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func limit(_ name: String = "start", _ count: Int = 2) throws -> StartLimit {
    try StartLimit(Settings.Lock(name: name, limit: count, directory: folder.path.appending("cache")))
  }

  @Test("as many places as there are to be, for all slots together; one that is left is free")
  func places() async throws {
    let (first, second) = (try limit(), try limit())
    try await first.check()
    let places = (try await first.take(), try await second.take())
    for slot in [first, second] {
      await #expect(throws: StartLimit.Refusal.noPlace("start")) { try await slot.check() }
      await #expect(throws: StartLimit.Refusal.noPlace("start")) { try await slot.take() }
    }
    places.0.leave()
    try await second.check()
    try await second.check()
    let third = try await second.take()
    await #expect(throws: StartLimit.Refusal.noPlace("start")) { try await first.take() }
    withExtendedLifetime((places, third)) {}
  }

  @Test("nobody has a place that is forgotten")
  func forgotten() async throws {
    let limit = try limit("start", 1)
    for _ in 0..<100 { _ = try await limit.take() }
  }

  @Test("each name has places of its own, and stays in the folder")
  func names() async throws {
    var places: [StartPlace] = []
    for name in ["a", "../a", "a/b", ".", "ä b", "%61", "A", "a.1"] { places.append(try await limit(name, 1).take()) }
    #expect(places.count == 8)
    #expect(try Files.names(in: folder.path) == ["cache"])
    let files = try Files.names(in: folder.path.appending("cache/.job-starts"))
    #expect(files.count == 8 && files.contains("%2e%2e%2fa.1") && files.contains("a%2fb.1"))
  }

  @Test("another process has a place until it ends")
  func otherProcess() async throws {
    let limit = try limit("start", 1)
    (try await limit.take()).leave()
    let file = folder.path.appending("cache/.job-starts/start.1")
    let script = """
      use Fcntl; open F, "+<", $ARGV[0] or die; my $lock = pack("s s l! l! i x100", F_WRLCK, 0, 0, 0, 0);
      fcntl F, F_SETLK, $lock or die; $| = 1; print "locked\\n"; sleep 1000
      """
    let output = folder.path.appending("output")
    let other = try AgentProcess(
      Command(
        "perl", arguments: ["-e", script, file.string], environment: ["PATH": "/usr/bin:/bin"], workingDirectory: "/"),
      log: output)
    try await waitForFiles(in: folder.path) { try Files.read(output)?.isEmpty == false }
    #expect(try Files.read(output) == Array("locked\n".utf8))
    await #expect(throws: StartLimit.Refusal.noPlace("start")) { try await limit.check() }
    await #expect(throws: StartLimit.Refusal.noPlace("start")) { try await limit.take() }
    other.send(SIGKILL)
    try await other.exit()
    _ = try await limit.take()
  }
}
