import Glibc
import Subprocess
import Support
public import SystemPackage

/// Small programs that are asked something and answer on their standard output.
public enum Program {
  /// Runs a program and returns what it prints.
  /// - Parameters:
  ///   - limit: how long it may take; it is killed after that.
  /// - Throws: ``ProcessError`` if it cannot be started, fails, takes too long or prints more than a megabyte.
  public static func output(of command: Command, limit: Duration) async throws -> String {
    try await output(of: command, limit: limit) {
      let result = try await Subprocess.run(
        command.subprocessExecutable,
        arguments: Arguments(command.arguments), environment: command.subprocessEnvironment,
        workingDirectory: command.workingDirectory, input: .none, output: .string(limit: 1 << 20), error: .discarded)
      let exit = ProcessExit(result.terminationStatus)
      guard exit.isSuccess else { throw ProcessError("\(command.executable) failed with exit status \(exit)") }
      return result.standardOutput
    }
  }

  /// Runs a program that prints a line, and returns that once the program has ended, with whatever exit status.
  ///
  /// In this way, nothing is left in memory: of each process whose output swift-subprocess 1.0.2 reads, it keeps 140 bytes. The
  /// pipe is read at the end only, so a program that prints more than it holds, at least a page, waits for its limit.
  /// - Parameters:
  ///   - input: an open file to be its standard input; nothing if it is nil.
  ///   - limit: how long it may take; it is killed after that.
  /// - Throws: ``ProcessError`` if it cannot be started or takes too long; `CancellationError`.
  static func line(of command: Command, input: FileDescriptor?, limit: Duration) async throws -> String {
    try await output(of: command, limit: limit) {
      // Others may have the other end for longer: to read must not block.
      let pipe = try FileDescriptor.pipe(options: [.closeOnExec, .nonBlocking])
      defer { try? pipe.readEnd.close() }
      func run(_ input: some InputProtocol) async throws {
        _ = try await Subprocess.run(
          command.subprocessExecutable,
          arguments: Arguments(command.arguments), environment: command.subprocessEnvironment,
          workingDirectory: command.workingDirectory, input: input,
          output: .fileDescriptor(pipe.writeEnd, closeAfterSpawningProcess: true), error: .discarded)
      }
      if let input {
        try await run(.fileDescriptor(input, closeAfterSpawningProcess: false))
      } else {
        try await run(.none)
      }
      let line = try [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
        do { count = try pipe.readEnd.read(into: UnsafeMutableRawBufferPointer(buffer)) } catch Errno
          .resourceTemporarilyUnavailable
        {
          count = 0
        }
      }
      return String(decoding: line, as: UTF8.self)
    }
  }

  /// Runs a program in a session of its own, with its output appended to `file`, and waits for its end. Cancelling kills
  /// the session's first process group.
  /// - Throws: ``ProcessError`` if it cannot be started; `CancellationError`.
  public static func run(_ command: Command, appendingTo file: FilePath) async throws -> ProcessExit {
    do {
      let log = try FileDescriptor.open(
        file, .writeOnly, options: [.create, .append, .closeOnExec], permissions: FilePermissions(rawValue: 0o644))
      let output = FileDescriptorOutput.fileDescriptor(log, closeAfterSpawningProcess: true)
      return ProcessExit(try await run(command, output: output, error: .combinedWithOutput).terminationStatus)
    } catch {
      try Task.checkCancellation()
      throw ProcessError("cannot run \(command.executable): \(error)")
    }
  }

  /// What a program has said.
  public struct Answer: Sendable {
    /// How it ended.
    public var exit: ProcessExit
    /// Its standard output.
    public var output: [UInt8]
    /// Its standard error.
    public var errors: String
  }

  /// Runs a program in a session of its own and takes what it says. Cancelling kills the session's first process group.
  /// - Parameters:
  ///   - limit: how long it may take; it is killed after that.
  ///   - size: how many bytes it may print.
  /// - Throws: ``ProcessError`` if it cannot be started, takes too long or prints more; `CancellationError`.
  public static func answer(of command: Command, limit: Duration, size: Int = 1 << 20) async throws -> Answer {
    try await withThrowingTaskGroup(of: Answer.self) { group in
      group.addTask {
        do {
          let result = try await run(command, output: .bytes(limit: size), error: .string(limit: size))
          return Answer(
            exit: ProcessExit(result.terminationStatus), output: result.standardOutput, errors: result.standardError)
        } catch {
          try Task.checkCancellation()
          throw ProcessError("cannot run \(command.executable): \(error)")
        }
      }
      group.addTask {
        try await DeadlineClock().sleep(for: limit)
        throw ProcessError("\(command.executable) did not end within \(limit)")
      }
      defer { group.cancelAll() }
      guard let answer = try await group.next() else { throw CancellationError() }
      return answer
    }
  }

  private static func run<Output: OutputProtocol, Failure: ErrorOutputProtocol>(
    _ command: Command, output: Output, error: Failure
  ) async throws -> ExecutionResult<Void, Output, Failure> {
    let running = Guarded<pid_t?>(nil)
    var options = PlatformOptions()
    options.createSession = true
    defer { running.withLock { $0 = nil } }
    return try await withTaskCancellationHandler {
      let result = try await Subprocess.run(
        command.subprocessExecutable,
        arguments: Arguments(command.arguments), environment: command.subprocessEnvironment,
        workingDirectory: command.workingDirectory, platformOptions: options, input: .none, output: output, error: error
      ) { execution in
        running.withLock { $0 = execution.processIdentifier.value }
        if Task.isCancelled { kill(-execution.processIdentifier.value, SIGKILL) }
      }
      try Task.checkCancellation()
      return result
    } onCancel: {
      // The library kills the leader alone.
      running.withLock { if let leader = $0 { _ = kill(-leader, SIGKILL) } }
    }
  }

  private static func output(
    of command: Command, limit: Duration, _ ask: @escaping @Sendable () async throws -> String
  ) async throws -> String {
    try await withThrowingTaskGroup(of: String.self) { group in
      group.addTask {
        do { return try await ask() } catch let error as ProcessError {
          throw error
        } catch {
          throw ProcessError("cannot run \(command.executable): \(error)")
        }
      }
      group.addTask {
        try await DeadlineClock().sleep(for: limit)
        throw ProcessError("\(command.executable) did not end within \(limit)")
      }
      defer { group.cancelAll() }
      guard let text = try await group.next() else { throw CancellationError() }
      return text
    }
  }
}
