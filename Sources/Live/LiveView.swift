import Logging
package import OpenQAProtocol
package import Support
import SystemPackage

/// Shows viewers of a running job its screen and its logs (protocol §10).
package struct LiveView: Sendable {
  private let channel: LiveChannel
  private let screen: LiveScreen
  private let logs: LiveLogs
  /// Opened when the job has written all that viewers are to see.
  private let isComplete = Latch<Void>()
  private let hasEnded = Latch<Void>()

  /// - Parameter offsets: where the logs are at the web UI already.
  package init(_ channel: LiveChannel, from offsets: [LiveStatus.Log: Int64] = [:]) {
    self.channel = channel
    screen = LiveScreen(channel)
    logs = LiveLogs(channel, from: offsets)
  }

  /// Serves the viewers there are, until the task is cancelled or ``finish(within:)`` is called.
  /// - Parameter record: is told where the logs are at the web UI, each time.
  package func run(
    _ audience: Observed<Audience>, record: @escaping @Sendable ([LiveStatus.Log: Int64]) async -> Void
  ) async {
    defer { hasEnded.open(with: ()) }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await mark(audience) }
      group.addTask {
        while isComplete.value == nil, await areThere(audience) { await serve(audience, record) }
      }
      // The second ends first.
      await group.next()
      group.cancelAll()
    }
  }

  /// Shows viewers the end of the logs, now that nothing comes after it, and ends the view.
  /// - Parameter limit: how long that may take; what has not arrived by then does not.
  package func finish(within limit: Duration) async {
    isComplete.open(with: ())
    await withTaskGroup(of: Void.self) { group in
      group.addTask { _ = try? await hasEnded.wait() }
      group.addTask { try? await channel.clock.sleep(for: limit) }
      await group.next()
      group.cancelAll()
    }
  }

  /// Waits for viewers; false if none come any more.
  private func areThere(_ audience: Observed<Audience>) async -> Bool {
    await withTaskGroup(of: Bool.self) { group in
      group.addTask { (try? await audience.wait { $0.viewers > 0 }) != nil }
      group.addTask {
        _ = try? await isComplete.wait()
        return false
      }
      defer { group.cancelAll() }
      return await group.next() ?? false
    }
  }

  /// Serves viewers until the last has gone, or the job's last line.
  private func serve(
    _ audience: Observed<Audience>, _ record: @escaping @Sendable ([LiveStatus.Log: Int64]) async -> Void
  ) async {
    let (screens, lines) = (Observed(Looks()), Observed(Looks()))
    await withTaskGroup(of: Void.self) { ends in
      ends.addTask {
        _ = try? await isComplete.wait()
        screens.change { $0.isOver = true }
        lines.change { $0.isLast = true }
      }
      ends.addTask {
        // What is on its way is not called back: whether it has arrived would not be known.
        _ = try? await audience.wait { $0.viewers == 0 }
        for looks in [screens, lines] { looks.change { $0.isOver = true } }
      }
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await screen.follow(screens) }
        group.addTask { await logs.follow(lines, record) }
      }
      ends.cancelAll()
    }
  }

  /// Lets the backend know whether it is looked at, which takes more screenshots then. When the job goes on under another
  /// worker, that counts the viewers on: the file stays as it is.
  private func mark(_ audience: Observed<Audience>) async throws {
    // At first it is not known: an earlier job may have left the file.
    var isMarked: Bool?
    while true {
      let isWatched = try await audience.wait { ($0.viewers > 0) != isMarked }.viewers > 0
      if isWatched || isMarked != nil { channel.logger.debug("The live view \(isWatched ? "begins" : "ends")") }
      isMarked = isWatched
      await mark(isWatched)
    }
  }

  private func mark(_ isWatched: Bool) async {
    let file = channel.pool.appending("live_log")
    do {
      try await channel.lane.run { if isWatched { try Files.append([], to: file) } else { try Files.remove(file) } }
    } catch {
      if !(error is CancellationError) { channel.logger.warning("The backend cannot be told of viewers: \(error)") }
    }
  }
}
