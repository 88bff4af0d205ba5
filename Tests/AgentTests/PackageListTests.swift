import Configuration
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@testable import Agent

@Suite("The list of packages", .timeLimit(.minutes(1)))
struct PackageListTests {
  private func list(_ command: String, limit: Duration = .seconds(30)) async throws -> String {
    let list = PackageList(command: command, environment: ["PATH": "/usr/bin:/bin"])
    return String(decoding: try await list.make(limit: limit), as: UTF8.self)
  }

  @Test("what the command prints, and not what it complains about")
  func made() async throws {
    #expect(try await list("echo b-2; echo a-1 | cat; echo odd >&2") == "b-2\na-1\n")
  }

  @Test(
    "no list",
    arguments: [
      ("echo a; exit 3", "it failed with exit status 3."),
      ("echo why >&2; false", "it failed with exit status 1: why."),
      ("true", "it printed nothing."), ("echo why >&2", "it printed nothing but why."),
      ("kill -9 $$", "it failed with exit status 9 (killed by signal)."),
    ])
  func missing(command: String, problem: String) async throws {
    let error = await #expect(throws: PackageList.Missing.self) { try await list(command) }
    #expect(
      error?.description == "No list of packages: \(problem) Mend PACKAGES_CMD = \(command), or remove it")
  }

  @Test("a command that does not end")
  func endless() async throws {
    let error = await #expect(throws: PackageList.Missing.self) {
      try await list("sleep 1000 | cat", limit: .milliseconds(100))
    }
    #expect(error?.description.hasPrefix("No list of packages: /bin/sh did not end within 0.1 seconds. ") == true)
  }

  @Test("goes with every job, and stays when the pool is cleaned")
  func jobs() async throws {
    let bench = try await Workbench(workers: "PACKAGES_CMD = echo a-1; env | grep WORKER_AGENT; echo b-2")
    try await bench.run { _ in
      for _ in 0..<2 {
        let job = try await bench.end(of: try await bench.schedule(BadInputTests.module))
        #expect(try bench.arrived(job.id, "worker_packages.txt") == "a-1\nb-2\n")
      }
    }
  }

  @Test("without one the program ends before it has registered")
  func program() async throws {
    let bench = try await Workbench(workers: "PACKAGES_CMD = false")
    let log = bench.folder.path.appending("agent.log")
    let agent = try AgentProcess(bench, log: log)
    #expect(try await agent.exit() == 1)
    let text = String(decoding: try Files.read(log) ?? [], as: UTF8.self)
    #expect(text.contains("[error] "), "\(text)")
    #expect(
      text.contains("Error: No list of packages: it failed with exit status 1. Mend PACKAGES_CMD = false"), "\(text)")
    #expect(!text.contains("Registering"))
    await bench.web.stop()
  }

  @Test("a pool that cannot be used is no reason to end: the slot is broken")
  func noPool() async throws {
    let bench = try await Workbench(workers: "PACKAGES_CMD = echo a")
    try Files.replace(bench.pool, with: [])
    try await bench.run { _ in
      try await bench.log.line(with: "worker_packages.txt cannot be written: ")
      try await bench.log.line(with: "Unable to lock pool directory")
    }
  }
}
