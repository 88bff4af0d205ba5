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
    try await output(of: command, input: nil, limit: limit, acceptsFailure: false)
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

  /// - Parameters:
  ///   - input: an open file to be its standard input; nothing if it is nil.
  ///   - acceptsFailure: whether what it says counts even if its exit status is not 0.
  static func output(
    of command: Command, input: FileDescriptor?, limit: Duration, acceptsFailure: Bool
  ) async throws -> String {
    try await withThrowingTaskGroup(of: String.self) { group in
      group.addTask {
        do {
          let (exit, text) = try await ask(command, input: input)
          guard exit.isSuccess || acceptsFailure else {
            throw ProcessError("\(command.executable) failed with exit status \(exit)")
          }
          return text
        } catch let error as ProcessError {
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

  private static func ask(_ command: Command, input: FileDescriptor?) async throws -> (ProcessExit, String) {
    func run(_ input: some InputProtocol) async throws -> (ProcessExit, String) {
      let result = try await Subprocess.run(
        command.subprocessExecutable,
        arguments: Arguments(command.arguments), environment: command.subprocessEnvironment,
        workingDirectory: command.workingDirectory, input: input,
        output: .string(limit: 1 << 20), error: .discarded)
      return (ProcessExit(result.terminationStatus), result.standardOutput)
    }
    guard let input else { return try await run(.none) }
    return try await run(.fileDescriptor(input, closeAfterSpawningProcess: false))
  }
}
