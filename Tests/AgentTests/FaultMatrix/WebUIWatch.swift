import LocalWebUI
import OpenQAProtocol
import Support
import TestSupport

/// What a web UI has seen, for any number of tasks to wait for.
final class WebUIWatch: Sendable {
  /// Counts WebSocket connections.
  let connections = EventCounter()
  private let states = Guarded<[LocalJob.State: Latch<Void>]>([:])
  private let job: Int64

  /// - Parameter job: whose states are watched.
  init(job: Int64) { self.job = job }

  /// Takes the web UI's events until there are no more.
  func follow(_ web: LocalServer) async {
    for await event in web.events {
      switch event {
      case .connected: connections.increment()
      case .changed(let job) where job.id == self.job: latch(job.state).open(with: ())
      default: break
      }
    }
  }

  /// Returns when the job has come into a state.
  func reach(_ state: LocalJob.State) async throws { try await latch(state).reached() }

  private func latch(_ state: LocalJob.State) -> Latch<Void> {
    states.withLock { states in
      let latch = states[state] ?? Latch()
      states[state] = latch
      return latch
    }
  }
}
