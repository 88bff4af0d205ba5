package import Configuration
import Glibc
import Support

/// One entry of the log: what is known of it, before it is text.
package struct LogRecord: Sendable {
  /// Local time, see ``Timestamp/local()``.
  package var time = Timestamp.local()
  package var level: Settings.LogLevel
  /// May have several lines.
  package var message: String
  /// The slot's number; nil for what concerns all of them.
  package var slot: Int?
  /// The job that runs.
  package var job: Int64?
  /// The address of the web UI that the entry is about.
  package var webUI: String?
  /// Shown before the message, as the reference worker does at level debug.
  package var process: Int32?

  package init(_ level: Settings.LogLevel, _ message: String) {
    self.level = level
    self.message = message
  }
}

/// How entries look in a log.
package struct LogFormat: Sendable, Hashable {
  /// What `--log-format` chooses from.
  package enum Style: String, Sendable, Hashable, CaseIterable {
    /// `[level] message`, as the reference worker has it.
    case text
    /// An object a line: `time`, `level`, `message`, and as far as they are known `slot`, `job` and `web_ui`.
    case json
  }

  package var style: Style
  /// Begin lines with `[time]`; JSON always has it.
  package var hasTime: Bool
  /// Begin lines with a priority as the journal takes it, `<6>`.
  package var hasPriority: Bool

  package init(_ style: Style = .text, hasTime: Bool = false, hasPriority: Bool = false) {
    self.style = style
    self.hasTime = hasTime
    self.hasPriority = hasPriority
  }

  /// The entry as it is written, with its newline.
  package func text(of record: LogRecord) -> String {
    let text =
      switch style {
      case .text:
        (hasTime ? "[\(record.time)] " : "") + "[\(record.level.rawValue)] "
          + (record.process.map { "[pid:\($0)] " } ?? "") + record.message
      case .json: json(record).text
      }
    guard hasPriority else { return text + "\n" }
    // The journal makes an entry of each line: one without a priority would get the unit's.
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    return lines.map { "<\(record.level.priority)>\($0)\n" }.joined()
  }

  private func json(_ record: LogRecord) -> JSON {
    var members: [String: JSON] = [
      "time": .string(record.time), "level": .string(record.level.rawValue), "message": .string(record.message),
    ]
    members["slot"] = record.slot.map { .integer(Int64($0)) }
    members["job"] = record.job.map { .integer($0) }
    members["web_ui"] = record.webUI.map { .string($0) }
    return .object(members)
  }
}

extension Settings.LogLevel {
  /// As syslog numbers severities.
  fileprivate var priority: Int32 {
    switch self {
    case .trace, .debug: LOG_DEBUG
    case .info: LOG_INFO
    case .warn: LOG_WARNING
    case .error: LOG_ERR
    case .fatal: LOG_CRIT
    }
  }
}
