package import Configuration
package import Logging
package import Support
package import SystemPackage

/// Where a slot's log lines go (protocol §5, "Channels"): all to the standard output, and while a job runs to the logs
/// in its pool, by whom they are meant for.
///
/// Lines are written by lanes in the order they were logged; who logs never waits.
package final class SlotLog: Sendable {
  /// Who a line is meant for.
  package enum Channel: Sendable, Hashable {
    /// Who runs the host: `worker-log.txt`.
    case worker
    /// Who wrote the test: `autoinst-log.txt`.
    case test
    /// Both of them.
    case both
  }

  private struct Job: Sendable {
    var pool: FilePath
    var lane: IOLane
  }

  /// Lines that are less severe are not written, but for those meant for the test's log, which has all from debug up.
  private let level: Settings.LogLevel
  private let output: LogOutput
  private let job = Guarded<Job?>(nil)

  package init(level: Settings.LogLevel, output: LogOutput) {
    self.level = level
    self.output = output
  }

  /// A logger whose lines are meant for `channel`.
  package func logger(_ channel: Channel = .worker) -> Logger {
    var logger = Logger(label: "slot") { _ in ChannelLogHandler(log: self, channel: channel) }
    logger.logLevel = .trace
    return logger
  }

  /// From now on lines go to the logs in a pool, too.
  package func begin(pool: FilePath, lane: IOLane) { job.withLock { $0 = Job(pool: pool, lane: lane) } }

  /// No more lines go to the pool.
  package func end() { job.withLock { $0 = nil } }

  func write(_ level: Settings.LogLevel, _ text: String, for channel: Channel) {
    let isShown = level >= self.level
    if isShown { output.write("[\(level.rawValue)] \(text)\n") }
    guard let job = job.withLock({ $0 }) else { return }
    let line = Array("[\(Timestamp.local())] [\(level.rawValue)] \(text)\n".utf8)
    var names: [String] = []
    if channel != .test, isShown { names.append("worker-log.txt") }
    if channel != .worker, level >= .debug { names.append("autoinst-log.txt") }
    for name in names {
      // A pool that cannot be written to is told by what needs it; its logs are no reason to stop.
      job.lane.submit { try? Files.append(line, to: job.pool.appending(name)) }
    }
  }
}

/// The process's log stream, shared by all slots.
package final class LogOutput: Sendable {
  private let lane: IOLane
  private let sink: @Sendable (String) -> Void

  /// - Parameter sink: takes a line with its newline; may block.
  /// - Throws: `ServiceThread.CannotStart`.
  package init(_ sink: @escaping @Sendable (String) -> Void) throws {
    lane = try IOLane(name: "log")
    self.sink = sink
  }

  /// Writes a line after all before it, without waiting for it.
  package func write(_ line: String) { lane.submit { [sink] in sink(line) } }

  /// Returns when all lines so far are written, or after a second.
  package func flush() async { try? await lane.run(limit: .seconds(1)) {} }
}

private struct ChannelLogHandler: LogHandler {
  let log: SlotLog
  let channel: SlotLog.Channel
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .trace

  init(log: SlotLog, channel: SlotLog.Channel) {
    self.log = log
    self.channel = channel
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) { log.write(Settings.LogLevel(event.level), "\(event.message)", for: channel) }
}

extension Settings.LogLevel {
  fileprivate init(_ level: Logger.Level) {
    self =
      switch level {
      case .trace: .trace
      case .debug: .debug
      case .info, .notice: .info
      case .warning: .warn
      case .error: .error
      case .critical: .fatal
      }
  }
}
