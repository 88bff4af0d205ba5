import Configuration
import Logging
import ProcessTree
import Support
import SystemPackage

/// Switches the machine off that a slot's jobs run on, again and again while the slot is idle (protocol §1.2, IPMI_*).
///
/// Nothing waits for it: when a job comes, a program that is still at it is killed.
struct IdleShutdown: Sendable {
  /// How long ipmitool may take.
  private static let limit = Duration.seconds(60)

  private let command: Command
  private let password: String
  private let interval: Duration
  private let logger: Logger
  private let clock: any Clock<Duration> & Sendable
  private let idleness: AsyncStream<Bool>
  private let feed: AsyncStream<Bool>.Continuation

  /// Nil for a machine that is not to be switched off, or whose credentials are not known.
  /// - Parameter environment: of ipmitool.
  init?(
    _ ipmi: Settings.IPMI, environment: [String: String], logger: Logger,
    clock: any Clock<Duration> & Sendable = DeadlineClock()
  ) {
    guard let interval = ipmi.autoShutdownInterval, let user = ipmi.user, let password = ipmi.password else {
      return nil
    }
    // Everybody on the host can read a command line.
    var environment = environment
    environment["IPMITOOL_PASSWORD"] = nil
    environment["IPMI_PASSWORD"] = password
    let options = ipmi.options.split(separator: " ").map(String.init)
    command = Command(
      "ipmitool",
      arguments: options + ["-H", ipmi.hostname, "-U", user, "-E", "chassis", "power", "off"],
      environment: environment, workingDirectory: "/")
    (self.password, self.interval, self.logger, self.clock) = (password, interval, logger, clock)
    // How it was a moment ago does not matter any more.
    (idleness, feed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Hears what the slot is at. One that cannot take jobs is not idle: another worker may have its pool, and the machine.
  func note(_ condition: SlotCondition) { feed.yield(condition.phase == .idle && condition.unavailability == nil) }

  /// Lives until its task is cancelled.
  func run() async {
    logger.info("While this slot is idle, its machine is switched off by IPMI every \(interval)")
    await withDiscardingTaskGroup { group in
      var work: Latch<Void>?
      for await isIdle in idleness where isIdle != (work != nil) {
        work?.open(with: ())
        work = isIdle ? Latch() : nil
        if let work { group.addTask { await switchOff(until: work) } }
      }
      group.cancelAll()
    }
  }

  /// Switches off each interval, until there is work.
  private func switchOff(until work: Latch<Void>) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        do {
          while true {
            try await clock.sleep(for: interval)
            try await switchOff()
          }
        } catch {
          // There is work.
        }
      }
      group.addTask { _ = try? await work.wait() }
      await group.next()
      group.cancelAll()
    }
  }

  /// - Throws: `CancellationError`.
  private func switchOff() async throws {
    do {
      let answer = try await Program.answer(of: command, limit: IdleShutdown.limit)
      if !answer.exit.isSuccess { warn("exit status \(answer.exit): \(answer.errors.trimmed)") }
    } catch let error as ProcessError {
      warn("\(error)")
    }
  }

  private func warn(_ problem: String) {
    let line = ([command.executable] + command.arguments).joined(separator: " ")
    logger.warning("\("\(line): \(problem)".replacing(password, with: "[masked]"))")
  }
}
