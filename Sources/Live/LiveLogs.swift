import OpenQAProtocol
import Support
import SystemPackage

/// Brings what is written to a job's logs to the web UI: each byte once, in order, one post at a time.
struct LiveLogs: Sendable {
  /// Where each log is at the web UI.
  typealias Offsets = [LiveStatus.Log: Int64]

  /// From one post to the next: lines that are written one after the other go together. Web UIs look each second.
  private static let pause = Duration.milliseconds(250)

  private let channel: LiveChannel
  private let tails: Guarded<[LiveStatus.Log: LogTail]>

  init(_ channel: LiveChannel, from offsets: Offsets) {
    self.channel = channel
    tails = Guarded(
      Dictionary(
        uniqueKeysWithValues: LiveStatus.Log.allCases.map {
          ($0, LogTail(channel.pool.appending($0.file), from: offsets[$0] ?? 0))
        }))
  }

  /// Lives until nobody wants it any more, or the task is cancelled.
  /// - Parameter record: is told where the logs are at the web UI, each time.
  func follow(_ looks: Observed<Looks>, _ record: @Sendable (Offsets) async -> Void) async {
    let tails = tails
    let names = Set(LiveStatus.Log.allCases.map(\.file))
    await channel.follow(names, in: channel.pool, for: [.modified, .movedIn], looks) {
      await channel.post(looks) { status in
        status.logs = try tails.withLock { tails throws in
          var pieces: [LiveStatus.Log: LiveStatus.Piece] = [:]
          for log in LiveStatus.Log.allCases { pieces[log] = try tails[log]?.read() }
          return pieces
        }
        return status.logs?.values.contains { !$0.bytes.isEmpty } ?? false
      } taken: { status in
        let pieces = status.logs ?? [:]
        let offsets = tails.withLock { tails in
          for (log, piece) in pieces { tails[log]?.drop(piece) }
          return tails.mapValues(\.offset)
        }
        await record(offsets)
        // More is waiting: the web UI alone says how fast.
        return pieces.values.contains { $0.bytes.count == LiveStatus.Piece.limit } ? .zero : LiveLogs.pause
      }
    }
  }
}
