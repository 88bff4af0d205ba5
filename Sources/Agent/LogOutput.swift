import Configuration
import Glibc
import Support
package import SystemPackage

/// A log of the process: standard output, or a file. Whoever writes to it never waits.
package final class LogOutput: Sendable {
  package let format: LogFormat
  private let lane: IOLane
  private let queue: LogQueue

  /// - Parameters:
  ///   - limit: the most bytes that wait for a sink that is stuck; the oldest lines give way.
  ///   - sink: takes an entry's text with its newline; may block.
  /// - Throws: `ServiceThread.CannotStart`.
  package init(
    _ format: LogFormat = LogFormat(), limit: Int = 4 << 20, _ sink: @escaping @Sendable (String) -> Void
  ) throws {
    self.format = format
    lane = try IOLane(name: "log")
    // A reader that has gone is an error of the write, and no end of the process.
    lane.submit {
      var signals = sigset_t()
      sigemptyset(&signals)
      sigaddset(&signals, SIGPIPE)
      pthread_sigmask(SIG_BLOCK, &signals, nil)
    }
    queue = LogQueue(lane: lane, limit: limit, format: format, sink: sink)
  }

  /// The process's standard output, with priorities if the journal reads it.
  /// - Parameter environment: the process's own, where systemd names the journal's stream.
  /// - Throws: `ServiceThread.CannotStart`.
  package static func standard(
    _ style: LogFormat.Style = .text, environment: [String: String]
  ) throws -> LogOutput {
    let isJournal = isJournal(.standardOutput, environment: environment)
    let isTold = Latch<Void>()
    return try LogOutput(LogFormat(style, hasPriority: isJournal)) { line in
      do {
        try write(line, to: .standardOutput)
      } catch {
        if isTold.open(with: ()) { complain("standard output cannot be logged to, lines are lost: \(error)") }
      }
    }
  }

  /// A file, which is appended to, and made with its directory. Each entry opens it anew: it can be moved away at any
  /// time.
  /// - Parameter fallback: where entries go that cannot be written to it.
  /// - Throws: `ServiceThread.CannotStart`.
  package static func file(_ path: FilePath, fallback: LogOutput) throws -> LogOutput {
    let isTold = Latch<Void>()
    return try LogOutput(LogFormat(fallback.format.style, hasTime: true)) { line in
      do {
        if !Files.exists(path) { try Files.makeDirectory(path.removingLastComponent()) }
        try Files.append(line.utf8, to: path)
      } catch {
        if isTold.open(with: ()) { complain("the log file cannot be used, its lines go to standard output: \(error)") }
        fallback.queue.add(line)
      }
    }
  }

  /// Writes an entry after all before it, without waiting for it.
  package func write(_ record: LogRecord) { queue.add(format.text(of: record)) }

  /// Returns when all entries so far are written, or after a second.
  package func flush() async { try? await lane.run(limit: .seconds(1)) {} }

  /// Whether the journal is at the other end of a descriptor (systemd.exec, `$JOURNAL_STREAM`).
  package static func isJournal(_ descriptor: FileDescriptor, environment: [String: String]) -> Bool {
    var status = stat()
    guard let stream = environment["JOURNAL_STREAM"], fstat(descriptor.rawValue, &status) == 0 else { return false }
    return stream == "\(status.st_dev):\(status.st_ino)"
  }

  private static func complain(_ text: String) {
    // There is no other place left to tell it.
    _ = try? FileDescriptor.standardError.writeAll("worker-agent: \(text)\n".utf8)
  }

  private static func write(_ line: String, to descriptor: FileDescriptor) throws {
    var rest = Array(line.utf8)[...]
    while !rest.isEmpty {
      do {
        let count = try rest.withUnsafeBytes { try descriptor.write($0) }
        rest = rest.dropFirst(count)
      } catch Errno.resourceTemporarilyUnavailable {
        // Whoever shares the descriptor can have made it non-blocking.
        var waiting = pollfd(fd: descriptor.rawValue, events: Int16(POLLOUT), revents: 0)
        poll(&waiting, 1, -1)
      }
    }
  }
}
