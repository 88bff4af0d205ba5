import Configuration
import Foundation
import Glibc
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@testable import Agent
@testable import ProcessTree

@Suite("A machine that is switched off while its slot is idle", .timeLimit(.minutes(1)))
struct IdleShutdownTests {
  static let ipmi = Settings.IPMI(
    hostname: "sp.host", user: "admin", password: "s3cret", options: "-I  lanplus -C 3",
    autoShutdownInterval: .milliseconds(10))
  static let line = "ipmitool -I lanplus -C 3 -H sp.host -U admin -E chassis power off"

  let folder: TemporaryFolder
  let log: LogRecorder

  init() throws {
    folder = try TemporaryFolder()
    log = try LogRecorder()
  }

  private func shutdown(_ script: String) throws -> IdleShutdown {
    let environment = [
      "PATH": try Workbench.path(with: ["ipmitool": script], in: folder.path.appending("bin")),
      "FOLDER": folder.path.string, "IPMITOOL_PASSWORD": "another",
    ]
    let logger = SlotLog(level: .trace, output: log.output).logger()
    return try #require(IdleShutdown(Self.ipmi, environment: environment, logger: logger))
  }

  private func run(_ shutdown: IdleShutdown, _ body: () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await shutdown.run() }
      try await body()
      group.cancelAll()
    }
    #expect(!log.lines.contains { $0.contains("s3cret") })
  }

  private func content(of name: String) throws -> String? {
    try Files.read(folder.path.appending(name)).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test("the command, and the password where only this user sees it")
  func command() async throws {
    let script = "echo \"ipmitool $*; $IPMI_PASSWORD $IPMITOOL_PASSWORD\" > $FOLDER/new; mv $FOLDER/new $FOLDER/called"
    let shutdown = try shutdown(script)
    try await run(shutdown) {
      shutdown.note(SlotCondition())
      try await waitForFiles(in: folder.path) { try content(of: "called") != nil }
      #expect(try content(of: "called") == "\(Self.line); s3cret \n")
    }
    #expect(log.lines.count == 1, "nothing but that it is done")
  }

  @Test("what goes wrong is logged, without the password, and tried again")
  func failure() async throws {
    let shutdown = try shutdown("echo x >> $FOLDER/calls; echo \"no route for $IPMI_PASSWORD\" >&2; exit 1")
    try await run(shutdown) {
      shutdown.note(SlotCondition())
      let line = try await log.line(with: Self.line)
      #expect(line.contains("\(Self.line): exit status 1: no route for [masked]"))
      try await waitForFiles(in: folder.path) { try content(of: "calls")?.count ?? 0 >= 6 }
    }
  }

  @Test("no ipmitool")
  func missing() async throws {
    let shutdown = try shutdown("exec /nowhere")
    try await run(shutdown) {
      try Files.remove(folder.path.appending("bin/ipmitool"))
      shutdown.note(SlotCondition())
      let line = try await log.line(with: "\(Self.line): ")
      #expect(line.contains("cannot run ipmitool") || line.contains("exit status"), "\(line)")
    }
  }

  @Test("not in a job, nor while others may have the pool: one that hangs is killed")
  func busy() async throws {
    let shutdown = try shutdown("echo $$ > $FOLDER/new; mv $FOLDER/new $FOLDER/pid; exec sleep 1000")
    let lane = try IOLane(name: "end")
    try await run(shutdown) {
      for busy in [
        SlotCondition(phase: .busy(job: 1, webUI: 0)), SlotCondition(unavailability: "Unable to lock pool directory"),
        SlotCondition(phase: .ended),
      ] {
        shutdown.note(SlotCondition())
        try await waitForFiles(in: folder.path) { try content(of: "pid") != nil }
        let pid = try #require(Int32(try content(of: "pid")?.trimmed ?? ""))
        shutdown.note(SlotCondition())
        #expect(kill(pid, 0) == 0, "still idle")
        shutdown.note(busy)
        #expect(try await lane.run { ProcessID.waitForEnd(of: pid, limit: .seconds(30)) })
        try Files.remove(folder.path.appending("pid"))
      }
    }
  }

  @Test("not without credentials, nor with an interval of 0")
  func nothing() throws {
    let logger = SlotLog(level: .trace, output: log.output).logger()
    for change: (inout Settings.IPMI) -> Void in [
      { $0.user = nil }, { $0.password = nil }, { $0.autoShutdownInterval = nil },
    ] {
      var ipmi = Self.ipmi
      change(&ipmi)
      #expect(IdleShutdown(ipmi, environment: [:], logger: logger) == nil)
    }
  }

  @Test("a slot switches its machine off before and after a job, and not in it")
  func slot() async throws {
    let bench = try await Workbench(
      programs: ["ipmitool": "echo x >> \"${0%/*}/calls\""], change: { $0.ipmi = Self.ipmi })
    let calls = bench.folder.path.appending("bin/calls")
    @Sendable func count() throws -> Int { try Files.read(calls)?.count ?? 0 }
    try await bench.run { _ in
      try await waitForFiles(in: calls.removingLastComponent()) { try count() > 0 }
      let script = "before=$(wc -c < '\(calls)'); sleep 0.3; [ $before = $(wc -c < '\(calls)') ] || exit 9"
      let isotovideo = try BadInputTests.isotovideo(before: script)
      let job = try await bench.end(of: try await bench.schedule(BadInputTests.module, ["ISOTOVIDEO": isotovideo]))
      #expect(job.result == "passed", "\(job.reason ?? "")")
      let atEnd = try count()
      try await waitForFiles(in: calls.removingLastComponent()) { try count() != atEnd }
      #expect(try bench.arrived(job.id, "worker-log.txt")?.contains("s3cret") == false)
    }
    #expect(!bench.log.lines.contains { $0.contains("s3cret") })
  }
}
