import Agent
import Configuration
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@testable import ProcessTree

/// What jobs, backends and hosts bring that nobody meant: each ends in a line that names it, in a job with a result, and
/// in a slot that takes the next job.
@Suite("Bad input", .timeLimit(.minutes(2)))
struct BadInputTests {
  static let module = #"{"modules":[{"name":"a","steps":[{"screenshot":{}}]}]}"#

  /// A backend's command line that does something before or after the backend's own run.
  static func isotovideo(before: String = ":", after: String = ":") throws -> JSON {
    .string("\(before)\n'\(try Workbench.program("fake-isotovideo"))' -d || exit\n\(after)\nexit 0")
  }

  /// The slot is as good as new: it runs a job to its end.
  func takesNext(_ bench: Workbench) async throws {
    let next = try await bench.end(of: try await bench.schedule(Self.module))
    #expect(next.result == "passed" && next.modules.count == 1, "\(next.reason ?? "")")
  }

  // MARK: What a backend leaves behind

  struct Spoilt: Sendable, CustomTestStringConvertible {
    var testDescription: String { "\(file): \(what)" }
    var file: String
    var what: String
    var command: String
    /// What the log says of it.
    var words: String
  }

  static let spoilt: [Spoilt] = {
    let contents: [(what: String, command: String, isReadable: Bool)] = [
      ("truncated", #"printf '{"details":[{"scr'"#, false), ("empty", "printf ''", false),
      ("no JSON", "printf '\\377\\0 <html>'", false), ("another type", "printf '\"text\"'", false),
      ("50 MB of nothing", "head -c 50000000 /dev/zero", false),
    ]
    let files = [
      ("testresults/test_order.json", "read again when it changes"), ("testresults/result-a.json", "taken as {}"),
    ]
    var cases = files.flatMap { file, words in
      contents.map { Spoilt(file: file, what: $0.what, command: "\($0.command) > \(file)", words: words) }
    }
    let status = "autoinst-status.json"
    cases += contents.filter { $0.what != "another type" }
      .map { Spoilt(file: status, what: $0.what, command: "\($0.command) > \(status)", words: "taken as missing") }
    for (file, words) in files + [(status, "taken as missing")] {
      for (what, make) in [("a fifo", "mkfifo"), ("a directory", "mkdir")] {
        cases.append(Spoilt(file: file, what: what, command: "rm \(file); \(make) \(file)", words: words))
      }
    }
    return cases
  }()

  @Test("results in files that cannot be read", arguments: spoilt)
  func results(_ example: Spoilt) async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let settings = ["ISOTOVIDEO": try Self.isotovideo(after: example.command)]
      let job = try await bench.end(of: try await bench.schedule(Self.module, settings))
      // The order of modules is told only if a pass has read it before it is spoilt.
      #expect(job.result != nil && job.reason == (job.modules.isEmpty ? "no test modules scheduled/uploaded" : nil))
      #expect(!job.modules.isEmpty || example.file == "testresults/test_order.json")
      let line = try await bench.log.line(with: example.words)
      #expect(line.contains(example.file) && line.contains("[warn]"), "\(line)")
      #expect(job.files.isSuperset(of: ["autoinst-log.txt", "vars.json"]))
      try await takesNext(bench)
    }
  }

  @Test("results that name what is no file: skipped, and everything else arrives")
  func named() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let details = #"""
        {"result":"ok","details":[{"screenshot":"../vars.json"},{"screenshot":"fifo"},{"screenshot":"folder"},
        {"text":"gone"},{"text":"fifo"},{"text":"folder"},{"text":"good.txt"},{"text":"a\u0000b"},{"text":"x/y"},{"screenshot":["x"]}]}
        """#
      let after = """
        cd testresults; mkfifo fifo; mkdir folder; echo good > good.txt
        cat > result-a.json <<'END'
        \(details)
        END
        """
      let settings = ["ISOTOVIDEO": try Self.isotovideo(after: after)]
      let job = try await bench.end(of: try await bench.schedule(Self.module, settings))
      #expect(job.files.contains("good.txt") && job.result != nil, "\(job.reason ?? "")")
      #expect(job.files.isDisjoint(with: ["fifo", "folder", "gone"]))
      try await takesNext(bench)
    }
  }

  @Test("logs of the test that are no files: skipped by name, and never what a link shows")
  func testLogs() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let before = """
        mkdir -p ulogs/folder; cd ulogs; ln -s /etc/passwd passwd; ln -s gone nowhere; mkfifo fifo
        echo good > 'g o\\od.txt'
        perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die'
        cd ..
        """
      let settings = ["ISOTOVIDEO": try Self.isotovideo(before: before)]
      let job = try await bench.end(of: try await bench.schedule(Self.module, settings))
      #expect(job.result == "passed" && job.files.contains("ulogs/g o\\od.txt"))
      for name in ["passwd", "nowhere", "fifo", "socket"] {
        #expect(!job.files.contains("ulogs/\(name)"))
        try await bench.log.line(with: "ulogs/\(name): no plain file")
      }
      try await takesNext(bench)
    }
  }

  // MARK: What a job's settings say

  static let oddSettings: [[String: JSON]] = [
    ["../x": "1", "/etc/x": "1", "": "1"], ["A\nB": "1\n2\r\n3", "C": "nul\0nul", "PATH": "/nowhere", "ä %s": "%s %n"],
    ["LONG": .string(String(repeating: "x", count: 1 << 20))],
    ["LIST": ["a", ["b": nil]], "NUMBER": .number("1.5"), "T": true, "N": nil],
    ["A": "%B%", "B": "%A%"], ["MAX_JOB_TIME": "soon", "MAX_SETUP_TIME": "-1", "TIMEOUT_SCALE": "0"],
  ]

  // By number: the report of a test has its arguments in it, and here that is a megabyte.
  @Test("odd settings reach the backend as they are", arguments: oddSettings.indices)
  func odd(_ number: Int) async throws {
    let settings = Self.oddSettings[number]
    let bench = try await Workbench()
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(Self.module, settings))
      #expect(job.result == "passed")
      let arrived = try JSON(parsing: Array(try #require(try bench.arrived(job.id, "vars.json")).utf8))
      for (name, value) in settings {
        let isSame = arrived[name] == value
        #expect(isSame, "\(name)")
      }
      try await takesNext(bench)
    }
  }

  static let unusable: [(settings: [String: JSON], reason: String)] = [
    (["ISO": "../../../../etc/passwd"], "asset failure: Cannot find ISO asset iso/../../../../etc/passwd!"),
    (["ISO": "/etc/passwd"], "asset failure: Cannot find ISO asset iso//etc/passwd!"),
    (["HDD_1": "x/../lab"], "asset failure: Cannot find HDD_1 asset hdd/x/../lab!"),
    (["KERNEL": "sub/gone"], "asset failure: Cannot find KERNEL asset other/sub/gone!"),
    (["ISO": "lab\niso"], "asset failure: Cannot find ISO asset iso/lab?iso!"),
    (["ISO": "lab.iso\0.x"], "asset failure: Cannot find ISO asset iso/lab.iso?.x!"),
    (["ISO": "."], "asset failure: Cannot find ISO asset iso/.!"),
    (
      ["ISO": "vars.json"],
      "asset failure: ISO asset iso/vars.json cannot be linked: rename it, vars.json is kept for the worker's own files"
    ),
    (["DISTRI": ".."], "setup failure: DISTRI: '..' leads out of TESTS; write a folder's name there"),
    (["CASEDIR": "../../.."], "setup failure: CASEDIR: '../../..' leads out of TESTS; write a folder's name there"),
    (["CASEDIR": "a\nb"], "setup failure: CASEDIR: 'a?b' is no path"),
    (["NEEDLES_DIR": ".."], "setup failure: NEEDLES_DIR: '..' cannot be the name of a link in the pool"),
    (["NEEDLES_DIR": "x/.locked"], "setup failure: NEEDLES_DIR: '.locked' cannot be the name of a link in the pool"),
  ]

  @Test("settings that lead out of where they belong end the job with a reason", arguments: unusable)
  func refused(_ example: (settings: [String: JSON], reason: String)) async throws {
    let bench = try await Workbench()
    try Files.replace(bench.share.appending("factory/iso/vars.json"), with: [1])
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(Self.module, example.settings))
      #expect(job.result == "incomplete")
      #expect(job.reason == example.reason.replacing("TESTS", with: bench.share.appending("tests").string))
      #expect(try bench.arrived(job.id, "autoinst-log.txt")?.contains("[error] ") == true)
      try await takesNext(bench)
    }
    #expect(try Files.names(in: bench.pool) == [".locked", ".supervisor"])
    #expect(Files.exists(bench.share.appending("tests/lab/needles")) && Files.exists(bench.pool))
  }

  @Test("an image without a repository: the backend dies, and the log says why")
  func container() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let job = try await bench.end(
        of: try await bench.schedule(Self.module, ["ISOTOVIDEO": "", "OS_AUTOINST_CONTAINER_IMAGE": "image"]))
      #expect(job.result == "incomplete" && job.reason?.hasPrefix("died: ") == true)
      #expect(try bench.arrived(job.id, "autoinst-log.txt")?.contains("without OS_AUTOINST_GIT_REPO") == true)
      try await takesNext(bench)
    }
  }

  // MARK: What a host lacks

  @Test("a share that hangs: the job ends at its limit, the slot goes on when the share does")
  func hangingShare() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      try await bench.log.line(with: "Registered and connected")
      // A thread in a call that does not return, as on a share whose server is gone.
      let pipe = try Pipe()
      bench.shareLane.submit { pipe.waitForEnd() }
      let job = try await bench.end(of: try await bench.schedule(Self.module, ["MAX_SETUP_TIME": "0.5"]))
      #expect(job.result == "timeout_exceeded" && job.reason == "timeout: setup exceeded MAX_SETUP_TIME")
      pipe.end()
      try await takesNext(bench)
    }
  }

  @Test("a pool that cannot be written: the reason names the file, the next job has another try")
  func pool() async throws {
    let bench = try await Workbench()
    let obstacle = bench.pool.appending(".vars.json.new")
    try Files.makeDirectory(obstacle)
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(Self.module))
      #expect(job.result == "incomplete")
      #expect(job.reason?.hasPrefix("setup failure: The pool cannot be used: write \(bench.pool)/vars.json: ") == true)
      try Files.remove(obstacle)
      try await takesNext(bench)
    }
  }

  @Test("a file in the place of the pool: the slot is broken and says what to do")
  func noPool() async throws {
    let bench = try await Workbench()
    try Files.replace(bench.pool, with: [])
    try await bench.run { _ in
      let line = try await bench.log.line(with: "Unable to lock pool directory")
      #expect(line.contains(bench.pool.string) && line.contains("move it away"), "\(line)")
    }
  }

  @Test(
    "an isotovideo that cannot be asked for its version: the slot is broken and registers no version until it can be",
    arguments: [
      (nil, "isotovideo is not there: "), ("#!/bin/sh\nexit 3\n", "failed with exit status 3"),
      ("#!/bin/sh\necho Hello\n", "says nothing of an interface: Hello"),
    ])
  func unaskableIsotovideo(script: String?, problem: String) async throws {
    let folder = try TemporaryFolder()
    let program = folder.path.appending("isotovideo")
    @Sendable func install(_ text: String) throws {
      try Files.replace(program, with: Array(text.utf8), permissions: .init(rawValue: 0o755))
    }
    if let script { try install(script) }
    let bench = try await Workbench(recheck: .milliseconds(20), change: { $0.isotovideo = program })
    let posted = bench.web.events
    try await bench.run { _ in
      for await event in posted {
        guard case .message(let message, _) = event, message["status"] == "broken" else { continue }
        let reason = message["reason"]?.string ?? ""
        #expect(reason.hasPrefix("Unable to start jobs: ") && reason.contains(problem), "\(reason)")
        break
      }
      #expect(await bench.web.interfaceVersions == [nil])
      let job = try await bench.schedule(Self.module)
      try install("#!/bin/sh\necho 'Current isotovideo version: 1 [interface v7]'\n")
      #expect(try await bench.end(of: job).result == "passed")
      #expect(await bench.web.interfaceVersions == [nil, "7"])
    }
  }

  @Test("without an isotovideo of its own, a host runs jobs with the one that its settings name for all")
  func foreignIsotovideo() async throws {
    let line = try #require(try Self.isotovideo().string).replacing("\n", with: "; ")
    let bench = try await Workbench(workers: "ISOTOVIDEO = \(line)", change: { $0.isotovideo = "/nowhere/isotovideo" })
    try await bench.run { _ in try await takesNext(bench) }
  }

  @Test("no share at all: the host does not start, and the log names what to mount")
  func noShare() async throws {
    let bench = try await Workbench()
    try Files.remove(bench.share)
    await #expect(throws: (any Error).self) { try await bench.run { _ in } }
    let line = try #require(bench.log.lines.first { $0.contains("No share directory for \(bench.web.url)") })
    #expect(line.contains("no \(bench.share): mount it") && line.contains("SHARE_DIRECTORY"))
    await bench.web.stop()
  }

  @Test("no test code: named when the host starts")
  func noTests() async throws {
    let bench = try await Workbench()
    try Files.remove(bench.share.appending("tests"))
    try await bench.run { _ in
      let line = try await bench.log.line(with: "No test code")
      #expect(line.contains(bench.share.appending("tests").string) && line.contains("mount"))
    }
  }

  // MARK: The administrator's hook

  @Test("the hook brings assets before they are looked for; how it ends is logged and does not matter")
  func hook() async throws {
    let bench = try await Workbench(
      workers:
        "SYNC_ASSETS_HOOK = echo hooked; cd \"$OPENQA_SHAREDIR/factory/iso\"; cp lab.iso new.iso; exit 3"
    )
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(Self.module, ["ISO": "new.iso"]))
      #expect(job.result == "passed")
      let log = try #require(try bench.arrived(job.id, "worker-log.txt"))
      #expect(log.contains("\nhooked\n") && log.contains("SYNC_ASSETS_HOOK ended with exit status 3"))
    }
  }

  @Test("what a set-up waits for is in the log and in its status; the hook ends with its job")
  func cancelledHook() async throws {
    let bench = try await Workbench(
      workers: "SYNC_ASSETS_HOOK = sleep 1000 & echo $! > \"$OPENQA_SHAREDIR/pid\"; echo hooked $! >&2; wait")
    let file = bench.share.appending("pid")
    try await bench.run { _ in
      let id = try await bench.schedule(Self.module)
      try await bench.web.event { event in
        if case .message(let message, _) = event, message["type"] == "accepted" { true } else { false }
      }
      _ = try await bench.log.line(with: "setup: running SYNC_ASSETS_HOOK")
      for await event in bench.web.events {
        guard case .changed(let job) = event, let status = job.statuses.last else { continue }
        #expect(status["setup"] == 1 && status["setup_progress"] == "running SYNC_ASSETS_HOOK", "\(status)")
        break
      }
      await bench.web.send(.cancel, for: id)
      #expect(try await bench.end(of: id).result == "user_cancelled")
      #expect(try bench.arrived(id, "worker-log.txt")?.contains("SYNC_ASSETS_HOOK was stopped with its job") == true)
      let pid = try #require(Int32(String(decoding: try Files.read(file) ?? [], as: UTF8.self).trimmed))
      #expect(try await IOLane(name: "hook").run { ProcessID.waitForEnd(of: pid, limit: .seconds(30)) })
    }
  }

  @Test("a job cannot bring a hook of its own")
  func ownHook() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(Self.module, ["SYNC_ASSETS_HOOK": "touch ../hooked"]))
      #expect(job.result == "passed")
    }
    #expect(!bench.log.lines.contains { $0.contains("SYNC_ASSETS_HOOK") })
    #expect(!Files.exists(bench.pool.removingLastComponent().appending("hooked")))
  }
}

/// A thread waits at one end for the other one to be closed.
private final class Pipe: Sendable {
  private let reading: FileDescriptor
  private let writing: FileDescriptor

  init() throws { (reading, writing) = try FileDescriptor.pipe() }

  func waitForEnd() {
    _ = try? withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { try reading.read(into: $0) }
    try? reading.close()
  }

  func end() { try? writing.close() }
}
