import Configuration
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import Testing

/// What `--no-cleanup` leaves, and what not (protocol §5).
@Suite("The pool between jobs", .timeLimit(.minutes(1)))
struct NoCleanupTests {
  static let logs = ["worker-log.txt", "serial0.txt", "autoinst-log.txt", "serial_terminal.txt"]
  static let others = ["old.txt", "qemu.pid", "folder/file"]

  private func fill(_ bench: Workbench) throws {
    try Files.makeDirectory(bench.pool.appending("folder"))
    for name in Self.logs + Self.others + [".hidden", "worker_packages.txt"] {
      try Files.replace(bench.pool.appending(name), with: Array("old\n".utf8))
    }
  }

  @Test("is cleaned before and after each job", arguments: [false, true])
  func cleaned(keepsPool: Bool) async throws {
    let bench = try await Workbench(change: { $0.keepsPool = keepsPool })
    try fill(bench)
    let names = Self.others.joined(separator: " ")
    let isotovideo = try BadInputTests.isotovideo(before: "mkdir -p ulogs; ls \(names) > ulogs/before 2> ulogs/missing")
    try await bench.run { _ in
      let job = try await bench.end(of: try await bench.schedule(BadInputTests.module, ["ISOTOVIDEO": isotovideo]))
      #expect(job.result == "passed")
      let before = try #require(try bench.arrived(job.id, "ulogs/before"))
      #expect(before.split(separator: "\n").count == (keepsPool ? Self.others.count : 0), "\(before)")
      // What the job before wrote is none of this one's.
      for log in Self.logs { #expect(try bench.arrived(job.id, log)?.hasPrefix("old") != true, "\(log)") }
      #expect(job.files.isSuperset(of: ["worker-log.txt", "autoinst-log.txt"]))
      let next = try await bench.end(of: try await bench.schedule(BadInputTests.module))
      #expect(next.result == "passed")
    }
    let left = Set(try Files.names(in: bench.pool))
    #expect(left.isSuperset(of: [".hidden", "worker_packages.txt"]))
    #expect(left.isSuperset(of: ["old.txt", "folder", "vars.json", "autoinst-log.txt"]) == keepsPool)
    if !keepsPool { #expect(left == [".hidden", ".locked", ".supervisor", "worker_packages.txt"]) }
  }
}
