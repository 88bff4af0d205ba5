import Foundation
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

/// A host for the program itself, as a process. Its folders are this process's, and everybody can read them.
struct ProgramHost {
  let folder: TemporaryFolder
  private let ports: InstancePorts
  var instance: Int { ports.instance }
  var pool: FilePath { folder.path.appending("openqa/pool/\(instance)") }
  var log: FilePath { folder.path.appending("log") }

  init() throws {
    folder = try TemporaryFolder()
    ports = try InstancePorts()
    #expect(folder.path.withPlatformString { chmod($0, 0o755) } == 0)
    for name in ["openqa/pool/\(instance)", "openqa/share/tests/lab/needles", "openqa/share/factory"] {
      try Files.makeDirectory(folder.path.appending(name))
    }
    // What perl can run, and which runs fake-isotovideo.
    try Files.replace(
      folder.path.appending("fake-perl"),
      with: Array(#"exec '\#(folder.path.appending("fake-isotovideo"))', @ARGV;"#.utf8))
    // The build's folder need not be everybody's.
    let built = FilePath(try Workbench.program("fake-isotovideo")).removingLastComponent()
    for name in ["worker-agent", "job-supervisor", "fake-isotovideo"] {
      try FileManager.default.copyItem(
        atPath: built.appending(name).string, toPath: folder.path.appending(name).string)
    }
  }

  /// The settings of a job that passes.
  var job: [String: JSON] {
    [
      "DISTRI": "lab", "VERSION": "1", "TEST": "basic", "ARCH": "x86_64", "WORKER_CLASS": "test",
      "FAKE_ISOTOVIDEO_SCENARIO": .string(BadInputTests.module),
      "ISOTOVIDEO": .string("exec '\(folder.path.appending("fake-isotovideo"))' -d"),
    ]
  }

  /// The program, to be started by another one.
  func command(_ starter: String, _ arguments: String...) -> Command {
    Command(
      starter, arguments: arguments + [folder.path.appending("worker-agent").string],
      environment: [
        "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "OPENQA_CONFIG": folder.path.string,
        "OPENQA_BASEDIR": folder.path.string,
        // Another user reaches neither a sanitizer's log nor its suppressions: tests in this process have its reports.
        "TSAN_OPTIONS": "report_bugs=0",
      ], workingDirectory: "/")
  }

  /// Runs a slot while `body` runs, which gets its process id; it has to end with 0 then.
  /// - Parameter isotovideo: the program that is named by a flag; nil for fake-isotovideo.
  func run(
    _ command: Command, isotovideo: String? = nil, at web: LocalServer, _ body: (Int32) async throws -> Void
  ) async throws {
    let workers =
      "[global]\nHOST = \(web.url)\nWORKER_CLASS = test\nWORKER_HOSTNAME = 127.0.0.1\nPOOL_MIN_FREE_GB = 0\n"
    try Files.replace(folder.path.appending("workers.ini"), with: Array(workers.utf8))
    var command = command
    let isotovideo = isotovideo ?? folder.path.appending("fake-isotovideo").string
    command.arguments += ["--instance", "\(instance)", "--isotovideo", isotovideo]
    let agent = try AgentProcess(command, log: log)
    let result: Result<Void, any Error>
    do { result = .success(try await body(agent.pid)) } catch { result = .failure(error) }
    agent.send(SIGTERM)
    let exit = try await agent.exit()
    let text = String(decoding: try Files.read(log) ?? [], as: UTF8.self)
    #expect(exit == 0, "\(text)")
    try result.get()
  }
}

extension LocalServer {
  /// The first status that a worker sends.
  func status() async -> JSON? {
    for await event in events {
      if case .message(let message, _) = event, message["type"] == "worker_status" { return message }
    }
    return nil
  }
}
