import Foundation
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

/// The program itself, as a process that can be killed.
final class AgentProcess: Sendable {
  let pid: Int32
  private let end: Latch<Int32>

  /// Starts a slot of a workbench. What it logs is appended to `log`.
  /// - Parameters:
  ///   - program: another build of the program than that of the tests.
  ///   - environment: what it has in its environment beside what the workbench sets.
  convenience init(
    _ bench: Workbench, program: String? = nil, environment: [String: String] = [:], log: FilePath
  ) throws {
    let program = try program ?? Workbench.program("worker-agent")
    let arguments = ["--instance", "\(bench.instance)", "--isotovideo", try Workbench.program("fake-isotovideo")]
    try self.init(
      Command(
        program, arguments: arguments,
        environment: environment.merging(bench.environment.merging(bench.processEnvironment) { $1 }) { $1 },
        workingDirectory: "/"),
      log: log)
  }

  /// Starts a program.
  init(_ command: Command, log: FilePath) throws {
    let process = Process()
    // Which looks for it in PATH, and becomes it.
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [command.executable] + command.arguments
    process.environment = command.environment
    process.currentDirectoryURL = URL(filePath: command.workingDirectory.string)
    try Files.append([], to: log)
    let handle = try #require(FileHandle(forWritingAtPath: log.string))
    try handle.seekToEnd()
    process.standardOutput = handle
    process.standardError = handle
    process.standardInput = FileHandle.nullDevice
    let end = Latch<Int32>()
    process.terminationHandler = { end.open(with: $0.terminationStatus) }
    try process.run()
    self.end = end
    pid = process.processIdentifier
  }

  /// A test that fails leaves none behind.
  deinit { if end.value == nil { kill(pid, SIGKILL) } }

  /// Returns when it has ended: with its exit status, or the signal.
  @discardableResult
  func exit() async throws -> Int32 { try await end.reached() }

  func send(_ signal: Int32) { kill(pid, signal) }
}
