import Support
import TestSupport
import Testing
import Transport

@Suite(.timeLimit(.minutes(1)))
struct CommandServerTests {
  @Test func answersAsTheRealOne() async throws {
    let run = try FakeRun(
      scenario: #"{"modules": [{"name": "boot", "steps": [{"log": "ready"}, {"hang": true}]}]}"#,
      ports: try InstancePorts())
    await run.line(with: "ready")
    let base = "http://127.0.0.1:\(run.port)/token"
    let version = try JSON(parsing: try await output(of: "curl", ["-sS", "\(base)/isotovideo/version"]))
    #expect(version == ["test_git_hash": "UNKNOWN", "needles_git_hash": "UNKNOWN", "version": 34])
    let answer = try await output(
      of: "curl", ["-sS", "-d", #"{"stopping_test_execution":"cancel"}"#, "\(base)/broadcast"])
    #expect(answer == #"{"status":"boradcast done"}"#)
    for path in ["/token/other", "/wrong/isotovideo/version", "/token/ws"] {
      let status = try await output(
        of: "curl", ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:\(run.port)\(path)"])
      #expect(status == "404", "\(path)")
    }
  }

  @Test func tellsItsClientsWhatHappens() async throws {
    let run = try FakeRun(
      scenario: """
        {"modules": [
          {"name": "boot", "steps": [{"log": "ready"}, {"pause": "test wants it"}]},
          {"name": "shutdown", "category": "x11", "steps": [
            {"broadcast": {"check_screen": {"mustmatch": "a"}, "current_api_function": "assert_screen"}}]}
        ]}
        """, ports: try InstancePorts())
    await run.line(with: "ready")
    let socket = try await WebSocketClient().connect(WebSocketRequest("ws://127.0.0.1:\(run.port)/token/ws"))
    var messages = socket.messages.makeAsyncIterator()
    func next() async throws -> JSON? { try await messages.next().map { try JSON(parsing: $0) } }

    // The pause begins before or after the client is there: the status tells.
    var status: JSON?
    repeat {
      try await socket.send(#"{"cmd":"status"}"#)
      repeat { status = try await next() } while status?["running"] == nil
    } while status?["test_execution_paused"] == 0
    #expect(
      status == [
        "running": "boot", "current_test_full_name": "tests-boot", "current_api_function": nil, "pause_test_name": nil,
        "pause_on_screen_mismatch": false, "pause_on_next_command": 0, "pause_on_failure": 0,
        "test_execution_paused": "test wants it", "devel_mode_major_version": 1, "devel_mode_minor_version": 1,
        "tags": nil,
      ])
    #expect(
      try run.json("autoinst-status.json")?["status"] == "running")
    try await socket.send(#"{"cmd":"set_pause_at_test","name":"x11-shutdown"}"#)
    #expect(try await next() == ["set_pause_at_test": "x11-shutdown"])
    #expect(try await next() == ["ret": 1])
    try await socket.send(#"{"cmd":"resume_test_execution"}"#)
    #expect(try await next() == ["resume_test_execution": nil])
    #expect(try await next() == ["set_current_test": "shutdown", "current_test_full_name": "x11-shutdown"])
    await socket.close()
    #expect(await run.exitCode() == 0)
  }
}
