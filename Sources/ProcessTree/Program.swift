import Subprocess
import Support
import SystemPackage

/// Small programs that are asked something and answer on their standard output.
public enum Program {
  /// Runs a program and returns what it prints.
  /// - Parameters:
  ///   - limit: how long it may take; it is killed after that.
  /// - Throws: ``ProcessError`` if it cannot be started, fails, takes too long or prints more than a megabyte.
  public static func output(of command: Command, limit: Duration) async throws -> String {
    try await withThrowingTaskGroup(of: String.self) { group in
      group.addTask {
        do {
          let result = try await Subprocess.run(
            command.subprocessExecutable,
            arguments: Arguments(command.arguments), environment: command.subprocessEnvironment,
            workingDirectory: command.workingDirectory, input: .none,
            output: .string(limit: 1 << 20), error: .discarded)
          let exit = ProcessExit(result.terminationStatus)
          guard exit.isSuccess else { throw ProcessError("\(command.executable) failed with exit status \(exit)") }
          return result.standardOutput
        } catch let error as ProcessError {
          throw error
        } catch {
          throw ProcessError("cannot run \(command.executable): \(error)")
        }
      }
      group.addTask {
        try await Task.sleep(for: limit)
        throw ProcessError("\(command.executable) did not end within \(limit)")
      }
      defer { group.cancelAll() }
      guard let text = try await group.next() else { throw CancellationError() }
      return text
    }
  }
}
