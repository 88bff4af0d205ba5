import Agent
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("A job from end to end", .timeLimit(.minutes(1)))
struct JobTests {
  @Test("a run like a real one arrives whole")
  func basic() async throws {
    let bench = try await Workbench()
    let wasAsked = try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(nil, ["OPTIMIZE_IMAGES": "0"]))
      #expect(job.result == "passed" && job.reason == nil)
      #expect(job.modules.map(\.result).allSatisfy { $0 == "passed" } && job.modules.count == 4)
      // What results name has arrived, each image with its thumbnail.
      #expect(!job.namedImages.isEmpty && !job.namedFiles.isEmpty)
      #expect(job.files.isSuperset(of: job.namedImages.values))
      #expect(job.files.isSuperset(of: job.namedImages.values.map { ".thumbs/\($0)" }))
      #expect(job.files.isSuperset(of: job.namedFiles))
      for name in ["autoinst-log.txt", "worker-log.txt", "vars.json", "serial0.txt", "video.ogv"] {
        #expect(job.files.contains(name), "\(name)")
      }
      #expect(job.files.contains { $0.hasPrefix("ulogs/") })
      for (md5, name) in job.namedImages {
        let image = try #require(try Files.read(bench.web.folder.appending("\(job.id)/\(name)")))
        #expect(Digest.md5(image).hexadecimal == md5, "as captured")
      }
      // At level debug lines name the process.
      let log = try #require(try bench.arrived(job.id, "autoinst-log.txt")).replacing(#/\[pid:\d+\] /#, with: "")
      for text in [
        "[info] +++ setup notes +++", "[debug] +++ worker notes +++", "[info] Isotovideo exit status: 0",
        "[info] Result: done", "[info] Uploading autoinst-log.txt",
      ] {
        #expect(log.contains(text), "\(text)")
      }
      #expect(try bench.arrived(job.id, "worker-log.txt")?.contains("Uploading video.ogv") == true)
      try await bench.log.line(with: "Job 1 from \(bench.web.url) finished - passed")
    }
    #expect(wasAsked)
    let left = try Files.names(in: bench.pool)
    #expect(left == [".locked", ".supervisor"], "the pool is clean")
  }

  @Test("one job after the other; images that the web UI has are not sent again")
  func second() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let scenario = #"{"seed":"same","modules":[{"name":"a","steps":[{"screenshot":{"picture":"same"}}]}]}"#
      for number in 1...2 {
        let id = try await bench.schedule(scenario)
        var images = 0
        for await event in bench.web.events {
          if case .arrived(id, "a-1.png") = event { images += 1 }
          if case .changed(let job) = event, job.id == id, job.state == .done {
            #expect(job.result == "passed" && job.namedImages.count == 1 && job.files.contains("a-1.png"))
            break
          }
        }
        #expect(images == (number == 1 ? 1 : 0))
      }
    }
  }

  struct End: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var scenario: String
    var settings: [String: JSON] = [:]
    var result: String
    var reason: String?
    var hasLogs = true
  }

  static let ends: [End] = [
    End(
      testDescription: "the backend dies",
      scenario: #"{"modules":[{"name":"a","steps":[{"die":"QEMU crashed\nhard","component":"backend"}]}]}"#,
      result: "incomplete", reason: "backend died: QEMU crashed"),
    End(
      testDescription: "exit status without a word", scenario: #"{"modules":[{"name":"a","steps":[{"exit":3}]}]}"#,
      result: "incomplete", reason: "died: terminated prematurely, see log output for details"),
    End(
      testDescription: "killed by a signal", scenario: #"{"modules":[{"name":"a","steps":[{"signal":9}]}]}"#,
      result: "incomplete", reason: "died: terminated prematurely, see log output for details"),
    End(
      testDescription: "a module fails", scenario: #"{"modules":[{"name":"a","result":"fail"},{"name":"b"}]}"#,
      result: "failed"),
    End(
      testDescription: "a missing asset", scenario: "{}", settings: ["ISO": "gone.iso"], result: "incomplete",
      reason: "asset failure: Cannot find ISO asset iso/gone.iso!"),
    End(
      testDescription: "missing test code", scenario: "{}", settings: ["DISTRI": "gone"], result: "incomplete",
      reason: "setup failure: The source directory PRJDIR/share/tests/gone does not exist"),
    End(
      testDescription: "too slow", scenario: #"{"term":"exit","modules":[{"name":"a","steps":[{"hang":true}]}]}"#,
      settings: ["MAX_JOB_TIME": "0.3"], result: "timeout_exceeded",
      reason: "timeout: test execution exceeded MAX_JOB_TIME"),
    End(
      testDescription: "a corrupt state file",
      scenario: #"{"modules":[{"name":"a","steps":[{"write":"base_state.json","content":"{"},{"exit":1}]}]}"#,
      result: "incomplete",
      reason: "terminated prematurely: Encountered corrupted state file, see log output for details"),
    End(
      testDescription: "a result that is no JSON",
      scenario:
        #"{"modules":[{"name":"a"}],"teardown":[{"write":"testresults/result-a.json","content":"{\"result\":"}]}"#,
      result: "failed"),
  ]

  @Test("ends", arguments: ends)
  func end(_ example: End) async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(example.scenario, example.settings))
      #expect(job.result == example.result)
      let project = bench.folder.path.appending("openqa").string
      #expect(job.reason == example.reason?.replacing("PRJDIR", with: project))
      #expect(job.files.isSuperset(of: ["autoinst-log.txt", "worker-log.txt"]))
      if let reason = job.reason {
        let last = try #require(try bench.arrived(job.id, "autoinst-log.txt")?.split(separator: "\n").last)
        #expect(last.contains("[error]") && last.contains("This job is \(example.result): \(reason)"), "\(last)")
      }
      // The slot takes the next job.
      let next = try await bench.end(of: try await bench.schedule(#"{"modules":[{"name":"n"}]}"#))
      #expect(next.result == "passed")
    }
  }

  @Test("a backend whose command server does not come up is reported, before its time is over")
  func silentCommandServer() async throws {
    let bench = try await Workbench(workers: "BACKEND_START_LIMIT = 0.2")
    try await bench.run { _ in
      let scenario = #"{"commandServer":{"on":false},"modules":[{"name":"a","steps":[{"hang":true}]}]}"#
      let id = try await bench.schedule(scenario, ["MAX_JOB_TIME": "2"])
      try await bench.log.line(with: "has not answered within BACKEND_START_LIMIT (0.2 seconds)")
      let job = try await bench.end(of: id)
      #expect(job.reason == "timeout: test execution exceeded MAX_JOB_TIME")
      let log = try #require(try bench.arrived(id, "autoinst-log.txt"))
      #expect(log.contains("BACKEND_START_LIMIT") && log.contains("(the backend's command server never answered)"))
    }
  }

  static let waiting = #"{"modules":[{"name":"a","steps":[{"screenshot":{}},{"log":"now"},{"hang":true}]}]}"#

  @Test("cancelled in mid-job")
  func cancel() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let id = try await bench.schedule(Self.waiting)
      try await bench.log.line(with: "command server is up")
      await bench.web.send(.cancel, for: id)
      let job = try await bench.end(of: id)
      #expect(job.result == "user_cancelled" && job.reason == nil)
      #expect(job.files.contains("autoinst-log.txt"))
    }
  }

  @Test("stopped in mid-job: the job is duplicated and the host ends")
  func stop() async throws {
    let bench = try await Workbench()
    let wasAsked = try await bench.run { commands in
      let id = try await bench.schedule(Self.waiting)
      try await bench.log.line(with: "command server is up")
      commands.yield(.stop)
      let job = try await bench.end(of: id)
      #expect(job.result == "incomplete" && job.reason == "quit: worker has been stopped or restarted")
      #expect(!job.files.contains("autoinst-log.txt"))
    }
    #expect(wasAsked)
    #expect(await bench.web.job(2)?.state == .scheduled)
  }

  @Test("a second slot of the same pool is broken until the first is gone")
  func lockedPool() async throws {
    let bench = try await Workbench()
    try Files.makeDirectory(bench.pool)
    let lock = try FileLock(bench.pool.appending(".locked"))
    try await bench.run { _ in
      let line = try await bench.log.line(with: "Unable to lock pool directory")
      #expect(line.contains(bench.pool.string))
      _ = lock
    }
  }
}
