import Foundation
import Support
import SystemPackage
import TestSupport

/// One run of fake-isotovideo in a pool of its own.
final class FakeRun: Sendable {
  private let folder: TemporaryFolder
  private let ports: InstancePorts?
  /// What it writes, line by line.
  let lines: AsyncStream<String>
  private let process: Process
  private let ended: AsyncStream<Int32>

  /// Starts a run; it has ended by itself or through a signal when ``exitCode()`` returns.
  /// - Parameters:
  ///   - scenario: JSON; nil plays the built-in one.
  init(
    scenario: String? = nil, variables: JSON = ["JOBTOKEN": "token", "NAME": "fake"], ports: InstancePorts? = nil,
    arguments: [String] = ["-d"]
  ) throws {
    folder = try TemporaryFolder()
    self.ports = ports
    var variables = variables
    if let ports { variables["QEMUPORT"] = .string("\(ports.first)") }
    if let scenario { variables["FAKE_ISOTOVIDEO_SCENARIO"] = .string(scenario) }
    try Files.replace(folder.path.appending("vars.json"), with: variables.bytes)
    process = Process()
    process.executableURL = try Self.program
    process.arguments = arguments
    process.currentDirectoryURL = URL(filePath: folder.path.string)
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    let (lines, lineContinuation) = AsyncStream<String>.makeStream()
    let (ended, endContinuation) = AsyncStream<Int32>.makeStream()
    self.lines = lines
    self.ended = ended
    let reading = output.fileHandleForReading
    // A thread of its own: `readabilityHandler` crashes libdispatch under the sanitizers.
    try ServiceThread.start(name: "output") {
      var partial = ""
      while case let data = reading.availableData, !data.isEmpty {
        var lines = (partial + String(decoding: data, as: UTF8.self)).components(separatedBy: "\n")
        partial = lines.removeLast()
        for line in lines { lineContinuation.yield(line) }
      }
      lineContinuation.finish()
    }
    process.terminationHandler = { process in
      endContinuation.yield(
        process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus)
      endContinuation.finish()
    }
    try process.run()
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  /// Waits for the end and returns the exit code, or the negative signal that killed it.
  func exitCode() async -> Int32 {
    for await code in ended { return code }
    return -1000
  }

  /// Waits for a line that has `text`; nil if the output ends before.
  @discardableResult
  func line(with text: String) async -> String? { await lines.first { $0.contains(text) } }

  /// Its command server's port; 0 without one.
  var port: Int { ports.map { $0.first + 1 } ?? 0 }

  /// The pool, its working directory.
  var pool: FilePath { folder.path }

  func terminate() { process.terminate() }

  var processID: pid_t { process.processIdentifier }

  /// A file of the pool as JSON.
  func json(_ path: String) throws -> JSON? {
    try Files.read(pool.appending(path)).map { try JSON(parsing: $0) }
  }

  /// Everything in the pool; directories end with a slash.
  func files() throws -> [String] {
    func list(_ directory: String) throws -> [String] {
      try Files.names(in: pool.appending(directory)).flatMap { name in
        let path = directory.isEmpty ? name : "\(directory)/\(name)"
        let kind = Files.status(of: pool.appending(path), followsLinks: false)?.kind
        return kind == .directory ? ["\(path)/"] + (try list(path)) : [path]
      }
    }
    return try list("")
  }

  /// The program, which is built beside the tests.
  static var program: URL {
    get throws {
      let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
      let folder = Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
      let candidates = [folder, URL(filePath: CommandLine.arguments[0]), URL(filePath: tests), Bundle.module.bundleURL]
        .compactMap { $0?.deletingLastPathComponent().appending(path: "fake-isotovideo") }
      guard let program = candidates.first(where: { FileManager.default.isExecutableFile(atPath: $0.path) }) else {
        throw CocoaError(.fileNoSuchFile)
      }
      return program
    }
  }
}
