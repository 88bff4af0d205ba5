import Agent
import Configuration
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Upload

/// A web UI that is away when a job ends.
@Suite("A web UI that is away at the end", .timeLimit(.minutes(2)))
struct HoldTests {
  private static let scenario = """
    {"modules":[{"name":"a","steps":[{"screenshot":{"width":64,"height":48}},{"text":"said"},
    {"write":"ulogs/note.txt","content":"noted"},{"until":"GATE"}]}]}
    """

  /// Runs a job whose web UI goes away before its backend ends, until its results wait.
  private static func run(
    hold: Duration, _ body: @Sendable (Workbench, FaultProxy, Int64) async throws -> Void
  ) async throws {
    let proxy = Latch<FaultProxy>()
    let folder = try TemporaryFolder()
    let bench = try await Workbench(through: { try BadWebUITests.front($0, proxy) }, workers: "RETRIES = 2") {
      settings in
      settings.upload.hold = hold
      settings.archive.directory = folder.path.appending("archive")
    }
    let front = try await proxy.wait()
    let gate = folder.path.appending("gate")
    defer { if Task.isCancelled { Issue.record("\(bench.log.lines.suffix(60).joined(separator: "\n"))") } }
    try await bench.run { _ in
      let job = try await bench.schedule(scenario.replacing("GATE", with: gate.string))
      try await bench.log.line(with: "command server is up")
      let failures = bench.log.count(of: "Failed to register")
      try front.setDoor(.closed)
      front.breakConnections()
      try await failures.reach(1)
      try Files.replace(gate, with: [])
      try await bench.log.line(with: "is away: what it has not got of the job waits for it")
      try await body(bench, front, job)
      let next = try await bench.end(of: try await bench.schedule(BadInputTests.module))
      #expect(next.result == "passed")
    }
  }

  @Test("results wait for it, and the job ends as if nothing had been")
  func comesBack() async throws {
    try await Self.run(hold: .seconds(3600)) { bench, front, id in
      let failures = bench.log.count(of: "Failed to register")
      try await failures.reach(3)
      #expect(await bench.web.job(id)?.state == .running)
      try front.setDoor(.open)
      let job = try await bench.end(of: id)
      #expect(job.result == "passed" && job.reason == nil && job.timesEnded == 1)
      #expect(job.files.isSuperset(of: ["autoinst-log.txt", "ulogs/note.txt", "vars.json"]), "\(job.files)")
      #expect(job.files.isSuperset(of: job.namedImages.values) && !job.namedImages.isEmpty)
    }
  }

  @Test("when the time is over they are kept on this host, the log says where, and the slot is free")
  func staysAway() async throws {
    try await Self.run(hold: .milliseconds(300)) { bench, front, id in
      let line = try await bench.log.line(with: "The results of job \(id) are kept in ")
      let path = try #require(line.split(separator: " kept in ").last?.prefix { $0 != "," })
      let archive = Archive(FilePath(String(path)).removingLastComponent(), limit: 1 << 30, maximumAge: .seconds(60))
      let entry = try #require(try archive.entries().first)
      #expect(entry.summary.job == id && entry.summary.problem.contains("Connection error"), "\(entry)")
      #expect(
        Set(entry.files).isSuperset(of: ["autoinst-log.txt", "ulogs/note.txt", "testresults/result-a.json"]),
        "\(entry.files)")
      try await bench.log.line(with: "The end of job \(id) could not be told")
      try front.setDoor(.open)
      // Its web UI hears of it by the next registration.
      #expect(try await bench.end(of: id).result == "incomplete")
    }
  }

  @Test("what was kept for too long is forgotten when a job has ended")
  func forgotten() async throws {
    let folder = try TemporaryFolder()
    let (pool, place) = (folder.path.appending("pool"), folder.path.appending("archive"))
    try Files.makeDirectory(pool)
    try Files.replace(pool.appending("autoinst-log.txt"), with: Array("log".utf8))
    let archive = Archive(place, limit: 1 << 30, maximumAge: .seconds(60))
    let summary = Archive.Summary(job: 1, name: "", webUI: "web", result: "done", problem: "away")
    #expect(try archive.keep(pool, summary) != nil)
    let bench = try await Workbench(change: { settings in
      // What was kept a second from now is too old.
      settings.archive = .init(directory: place, limit: 1 << 30, maximumAge: .seconds(-1))
    })
    try await bench.run { _ in
      _ = try await bench.end(of: try await bench.schedule(BadInputTests.module))
      // The slot has done all that belongs to the first one.
      _ = try await bench.end(of: try await bench.schedule(BadInputTests.module))
    }
    #expect(try archive.entries().isEmpty)
  }
}
