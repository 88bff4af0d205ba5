package import Configuration
package import Engines
import Glibc
package import Logging
import Support
import SystemPackage

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
    var id: Int64
    var webUI: String
    var workerLog: LogQueue
    var testLog: LogQueue
  }

  /// Lines that are less severe are not written, but for those meant for the test's log, which has all from debug up.
  private let level: Settings.LogLevel
  private let slot: Int?
  private let output: LogOutput
  private let job = Guarded<Job?>(nil)

  /// - Parameter slot: the slot's number.
  package init(level: Settings.LogLevel, slot: Int? = nil, output: LogOutput) {
    self.level = level
    self.slot = slot
    self.output = output
  }

  /// A logger whose lines are meant for `channel`.
  /// - Parameter webUI: the address of the web UI that they are about; a running job's own unless it is named.
  package func logger(_ channel: Channel = .worker, webUI: String? = nil) -> Logger {
    var logger = Logger(label: "slot") { _ in ChannelLogHandler(log: self, channel: channel, webUI: webUI) }
    logger.logLevel = .trace
    return logger
  }

  /// From now on lines go to the logs in a job's pool, too.
  /// - Parameters:
  ///   - webUI: the address of the job's web UI.
  ///   - pool: where the logs are; a line is written before what its lane is given after it.
  package func begin(job id: Int64, webUI: String, pool: Pool) {
    func log(_ name: String) -> LogQueue {
      let path = pool.path.appending(name)
      let isTold = Latch<Void>()
      return LogQueue(lane: pool.lane, limit: 4 << 20, format: SlotLog.poolFormat) { [weak self] line in
        do {
          try Files.append(line.utf8, to: path)
        } catch {
          // Not in the pool's logs again: to the process's log alone, and once.
          if isTold.open(with: ()) { self?.tell(.error, "\(name) of job \(id) lacks lines: \(error)") }
        }
      }
    }
    let job = Job(id: id, webUI: webUI, workerLog: log("worker-log.txt"), testLog: log("autoinst-log.txt"))
    self.job.withLock { $0 = job }
  }

  /// No more lines go to the pool.
  package func end() { job.withLock { $0 = nil } }

  /// Returns when all lines so far are written, or after a second.
  package func flush() async { await output.flush() }

  fileprivate func write(_ level: Settings.LogLevel, _ text: String, for channel: Channel, webUI: String?) {
    let job = job.withLock { $0 }
    let record = record(level, text, job, webUI)
    let isShown = level >= self.level
    if isShown { output.write(record) }
    guard let id = job?.id else { return }
    let line = SlotLog.poolFormat.text(of: record)
    // Under the lock, so that no line comes to the pool after the end of its job's logs: the pool is cleaned then.
    self.job.withLock { job in
      guard let job, job.id == id else { return }
      if channel != .test, isShown { job.workerLog.add(line) }
      if channel != .worker, level >= .debug { job.testLog.add(line) }
    }
  }

  private func tell(_ level: Settings.LogLevel, _ text: String) {
    output.write(record(level, text, job.withLock { $0 }, nil))
  }

  private func record(_ level: Settings.LogLevel, _ text: String, _ job: Job?, _ webUI: String?) -> LogRecord {
    var record = LogRecord(level, text)
    record.slot = slot
    record.job = job?.id
    record.webUI = webUI ?? job?.webUI
    if self.level == .debug { record.process = getpid() }
    return record
  }

  /// What readers of the pool's logs take apart: it never changes.
  private static let poolFormat = LogFormat(.text, hasTime: true)
}

private struct ChannelLogHandler: LogHandler {
  let log: SlotLog
  let channel: SlotLog.Channel
  let webUI: String?
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .trace

  init(log: SlotLog, channel: SlotLog.Channel, webUI: String?) {
    self.log = log
    self.channel = channel
    self.webUI = webUI
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    log.write(Settings.LogLevel(event.level), "\(event.message)", for: channel, webUI: webUI)
  }
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
