import Foundation
import Support
import SystemPackage
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1)))
struct FakeIsotovideoTests {
  @Test func leavesWhatTheRealProgramLeaves() async throws {
    let real = try RealRun()
    let run = try FakeRun(variables: real.variables, ports: try InstancePorts())
    #expect(await run.exitCode() == 0)
    #expect(try run.files() == real.files.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
    #expect(real.shapes.count == 7)
    for (path, expected) in real.shapes {
      let own = try #require(try run.json(path), "\(path)")
      var shape = shape(own)
      if path == "vars.json" { shape["FAKE_ISOTOVIDEO_SCENARIO"] = nil }
      #expect(shape == expected, "\(path)")
    }
    #expect(try run.json("testresults/test_order.json") == real.order)
    #expect(
      try run.json("autoinst-status.json")
        == ["status": "finished", "current_test": "", "test_execution_paused": 0])
  }

  @Test func failsAsTheRealProgramFails() async throws {
    let real = try RealRun()
    let run = try FakeRun(
      scenario: """
        {"modules": [
          {"name": "failing", "result": "fail", "executionTime": 2, "steps": [
            {"screenshot": {"mismatch": "lab-not-there"}},
            {"screenshot": {"mismatch": "lab-not-there", "result": "fail"}},
            {"text": "# Test died", "title": "Failed", "result": "fail"}]},
          {"name": "dying", "result": "fail", "steps": [
            {"screenshot": {}}, {"text": "# Test died", "title": "Failed", "result": "fail"}]},
          {"name": "soft", "result": "softfail", "dents": 1, "steps": [
            {"screenshot": {}}, {"screenshot": {"match": "a"}}, {"screenshot": {"mismatch": "b"}}, {"softfail": "bug"}]}
        ], "teardown": [{"die": "unable to load x.pm, check the log"}]}
        """)
    #expect(await run.exitCode() == 1)
    for (path, name) in [
      ("testresults/result-failing.json", "fail result-failing.json"),
      ("testresults/result-dying.json", "die result-dying.json"),
      ("testresults/result-soft.json", "softfail result-keyboard.json"),
      ("base_state.json", "badcase base_state.json"),
    ] {
      #expect(try run.json(path).map(shape) == real.other(name), "\(path)")
    }
    #expect(
      try run.json("base_state.json") == ["component": "tests", "msg": "unable to load x.pm, check the log"])
  }

  @Test func printsAVersionAsTheRealProgram() async throws {
    let run = try FakeRun(arguments: ["--version"])
    #expect(await run.lines.first { _ in true } == "Current version is unknown [interface v34]")
    #expect(await run.exitCode() == 0)
    #expect(try run.files() == ["vars.json"])
  }

  @Test func makesPicturesThatUnpackAndDiffer() async throws {
    let scenario = """
      {"modules": [{"name": "a", "steps": [{"repeat": 6, "steps": [{"screenshot": {"noise": 9000}}]},
        {"screenshot": {"picture": "same"}}, {"screenshot": {"picture": "same"}}]}]}
      """
    let run = try FakeRun(scenario: scenario)
    #expect(await run.exitCode() == 0)
    let names = try Files.names(in: run.pool.appending("testresults")).filter { $0.hasSuffix(".png") }
    #expect(names.count == 8)
    let digests = try Set(names.map { try Files.digest(.md5, of: run.pool.appending("testresults/\($0)")) })
    #expect(digests.count == 7)
    let check = """
      import struct, sys, zlib
      for name in sys.argv[1:]:
        data, at, size = open(name, 'rb').read(), 8, None
        assert data[:8] == b'\\x89PNG\\r\\n\\x1a\\n'
        while at < len(data):
          length, kind = struct.unpack('>I4s', data[at:at + 8])
          body, sum = data[at + 8:at + 8 + length], struct.unpack('>I', data[at + 8 + length:at + 12 + length])[0]
          assert sum == zlib.crc32(kind + body)
          if kind == b'IHDR': size = struct.unpack('>II', body[:8])
          if kind == b'IDAT': assert len(zlib.decompress(body)) == size[1] * (size[0] * 3 + 1)
          at += 12 + length
        print(size)
      """
    let folder = run.pool.string
    let sizes = try await output(
      of: "python3",
      ["-c", check] + names.flatMap { ["\(folder)/testresults/\($0)", "\(folder)/testresults/.thumbs/\($0)"] })
    #expect(sizes == String(repeating: "(1024, 768)\n(60, 45)\n", count: 8))
  }

  @Test func showsTheLivePictureWhileSomeoneWatches() async throws {
    let run = try FakeRun(
      scenario: #"{"setup": [{"write": "live_log"}, {"screenshot": {}}, {"log": "shown"}, {"hang": true}]}"#)
    await run.line(with: "shown")
    let link = run.pool.appending("qemuscreenshot/last.png").string
    let target = try FileManager.default.destinationOfSymbolicLink(atPath: link)
    #expect(target.wholeMatch(of: /\d+\.\d{6}\.png/) != nil)
    #expect(FileManager.default.fileExists(atPath: link))
    run.terminate()
    #expect(await run.exitCode() == 1)
  }

  @Test func writesWhatTheScenarioSays() async throws {
    let run = try FakeRun(
      scenario: """
        {"baseFiles": false, "testOrder": false, "exit": 7, "settings": {"ADDED": 1}, "commandServer": {"on": false},
         "setup": [
          {"write": "testresults/test_order.json", "content": "[{"}, {"write": "log", "content": "a"},
          {"write": "log", "content": "b", "append": true}, {"write": "big", "size": 100001, "atomic": true},
          {"link": "link", "to": "big"}, {"write": "gone"}, {"remove": "gone"}]}
        """)
    #expect(await run.exitCode() == 7)
    #expect(
      try run.files()
        == ["autoinst-status.json", "big", "link", "log", "testresults/", "testresults/test_order.json", "vars.json"])
    #expect(try Files.read(run.pool.appending("testresults/test_order.json")) == Array("[{".utf8))
    #expect(try Files.read(run.pool.appending("log")) == Array("ab".utf8))
    #expect(Files.status(of: run.pool.appending("link"))?.size == 100_001)
    #expect(try run.json("vars.json")?["ADDED"] == 1)
  }

  @Test(arguments: [
    (#"{"setup": [{"exit": 3}]}"#, 3), (#"{"setup": [{"signal": 9}]}"#, -9), (#"{"setup": [{"signal": 11}]}"#, -11),
    (#"{"exit": 1}"#, 1), (#"{"setup": [{"die": "x", "component": "backend", "code": 2}]}"#, 2),
    (#"{"mistyped": 1}"#, 1), (#"{"setup": [{"mistyped": 1}]}"#, 1), ("/nonexistent", 1), ("{", 1),
  ])
  func endsAsTheScenarioSays(_ scenario: String, _ code: Int32) async throws {
    #expect(await (try FakeRun(scenario: scenario)).exitCode() == code)
  }

  @Test func endsOnSIGTERMAndTellsWhy() async throws {
    let run = try FakeRun(scenario: #"{"setup": [{"log": "ready"}, {"hang": true}]}"#)
    await run.line(with: "ready")
    run.terminate()
    #expect(await run.exitCode() == 1)
    #expect(
      try run.json("base_state.json") == ["component": "isotovideo", "msg": "isotovideo received signal TERM"])
  }

  @Test(arguments: ["ignore", "hang"])
  func resistsSIGTERM(_ term: String) async throws {
    let run = try FakeRun(
      scenario: """
        {"term": "\(term)", "setup": [{"log": "ready"}, {"wait": 300}, {"log": "still here"}, {"hang": true}]}
        """)
    await run.line(with: "ready")
    run.terminate()
    if term == "ignore" { #expect(await run.line(with: "still here") != nil) }
    kill(run.processID, SIGKILL)
    #expect(await run.exitCode() == -SIGKILL)
    #expect(try run.json("base_state.json") == nil)
  }

  @Test(arguments: ["exit", "ignore"])
  func leavesChildren(_ term: String) async throws {
    let run = try FakeRun(
      scenario: """
        {"term": "\(term)", "setup": [{"spawn": {"count": 2, "lifetime": 30000}},
          {"spawn": {"setsid": true, "ignoreTerm": true, "lifetime": 30000, "pidFile": "sessions.pid"}}]}
        """)
    #expect(await run.exitCode() == 0)
    func pids(_ name: String) throws -> [pid_t] {
      String(decoding: try Files.read(run.pool.appending(name)) ?? [], as: UTF8.self).split(separator: "\n")
        .compactMap { pid_t($0) }
    }
    let plain = try pids("children.pid")
    let stubborn = try pids("sessions.pid")
    #expect(plain.count == 2)
    #expect(stubborn.count == 1)
    let began = ContinuousClock.now
    for child in plain { #expect(kill(child, SIGTERM) == 0) }
    for child in stubborn { #expect(kill(child, SIGKILL) == 0) }
    // They hold the output: it ends with the last of them.
    for await _ in run.lines {}
    #expect(ContinuousClock.now - began < .seconds(20))
  }
}

/// Runs a program of the PATH and returns what it wrote.
func output(of program: String, _ arguments: [String]) async throws -> String {
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = [program] + arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  let (ended, continuation) = AsyncStream<Never>.makeStream()
  process.terminationHandler = { _ in continuation.finish() }
  try process.run()
  for await _ in ended {}
  return String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
}
