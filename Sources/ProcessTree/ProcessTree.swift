import Glibc
import Subprocess
import Support
public import SystemPackage

/// A program that leads a session of its own, with all the processes in that session.
///
/// The output of the whole tree is appended to one file. Whatever way the leader ends, what is left of its process group is
/// killed before its end is told.
public final class ProcessTree: Sendable {
  private let command: Command
  private let output: FilePath
  private let begun = Latch<Void>()
  private let stopped = Latch<Void>()
  /// Nil when there never was one.
  private let leader = Latch<pid_t?>()
  private let ended = Latch<ProcessExit>()

  /// Prepares a tree; nothing runs before ``run()``.
  /// - Parameter output: the file that standard output and error are appended to.
  public init(_ command: Command, output: FilePath) {
    self.command = command
    self.output = output
  }

  /// Starts the program and waits for its end. To be called once; cancelling it kills the tree.
  /// - Throws: ``ProcessError`` if the program cannot be started; `CancellationError` if it was stopped before.
  public func run() async throws -> ProcessExit {
    begun.open(with: ())
    defer {
      leader.open(with: nil)
      ended.open(with: .status(127))
    }
    // Who stops sets this first and looks for `begun` then: one of the two sees the other.
    if stopped.value != nil { throw CancellationError() }
    let log: FileDescriptor
    do {
      log = try FileDescriptor.open(
        output, .writeOnly, options: [.create, .append, .closeOnExec], permissions: FilePermissions(rawValue: 0o644))
    } catch {
      throw ProcessError("cannot write \(output): \(error)")
    }
    var options = PlatformOptions()
    options.createSession = true
    do {
      let exit = try await withTaskCancellationHandler {
        let result = try await Subprocess.run(
          command.subprocessExecutable,
          arguments: Arguments(command.arguments), environment: command.subprocessEnvironment,
          workingDirectory: command.workingDirectory, platformOptions: options, input: .none,
          output: .fileDescriptor(log, closeAfterSpawningProcess: true), error: .combinedWithOutput
        ) { execution in
          _ = leader.open(with: execution.processIdentifier.value)
        }
        return ProcessExit(result.terminationStatus)
      } onCancel: {
        // The library kills the leader alone; the rest of the group is ours to kill.
        signal(SIGKILL)
      }
      signal(SIGKILL)
      ended.open(with: exit)
      return exit
    } catch {
      signal(SIGKILL)
      throw ProcessError("cannot start \(command.executable): \(error)")
    }
  }

  /// The leader's process id as soon as it runs; nil if it cannot be started.
  /// - Throws: `CancellationError`.
  public func started() async throws -> Int32? { try await leader.wait() }

  /// Whether the leader was started and has not ended.
  public var isRunning: Bool { (leader.value ?? nil) != nil && ended.value == nil }

  /// Ends the tree: SIGTERM to the whole group, SIGKILL when the leader has not ended within `grace`. Returns when the
  /// leader is gone. A tree that does not run yet never will.
  public func stop(grace: Duration, clock: any Clock<Duration> = ContinuousClock()) async {
    stopped.open(with: ())
    guard begun.value != nil, (try? await started()) != nil else { return }
    signal(SIGTERM)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { _ = try? await self.ended.wait() }
      group.addTask {
        do { try await clock.sleep(for: grace) } catch { return }
        self.signal(SIGKILL)
        _ = try? await self.ended.wait()
      }
      await group.next()
      group.cancelAll()
    }
  }

  private func signal(_ number: Int32) {
    guard ended.value == nil, case let leader?? = leader.value else { return }
    kill(-leader, number)
  }
}
