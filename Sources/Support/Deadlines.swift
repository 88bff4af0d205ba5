/// Calls closures at points in time, of which most are not reached: to set a deadline and to take it back costs a lock, and no
/// more. To find those that are due takes a look at all that are set, a few dozen for each slot.
/// Its one thread wakes up when the earliest of those that were set has passed.
final class Deadlines: Sendable {
  /// What tells a deadline from the others.
  typealias ID = Int

  private struct State {
    var actions: [ID: (deadline: ContinuousClock.Instant, action: @Sendable () -> Void)] = [:]
    var lastID = 0
    /// When the thread looks next; not after the earliest deadline.
    var alarm: ContinuousClock.Instant?
  }

  /// The process's. The thread lasts as long as the process.
  static let shared = Result { try Deadlines() }

  private let state = Signalled(State())

  private init() throws {
    try ServiceThread.start(name: "deadlines") { [state] in
      while true {
        let due = state.wait(
          until: { $0.alarm },
          then: { state -> [@Sendable () -> Void] in
            let now = ContinuousClock.now
            var due: [(id: ID, action: @Sendable () -> Void)] = []
            state.alarm = nil
            for (id, entry) in state.actions {
              if entry.deadline <= now {
                due.append((id, entry.action))
              } else {
                state.alarm = min(state.alarm ?? entry.deadline, entry.deadline)
              }
            }
            for (id, _) in due { state.actions[id] = nil }
            return due.map(\.action)
          })
        for action in due { action() }
      }
    }
  }

  /// Calls `action` on the thread, which it must not hold up, at `deadline`, unless that is revoked before.
  func set(_ deadline: ContinuousClock.Instant, _ action: @escaping @Sendable () -> Void) -> ID {
    var id = 0
    state.changeQuietly { state in
      state.lastID += 1
      id = state.lastID
      state.actions[id] = (deadline, action)
      if let alarm = state.alarm, alarm <= deadline { return false }
      state.alarm = deadline
      return true
    }
    return id
  }

  /// Forgets a deadline. Its action may be underway.
  func revoke(_ id: ID) {
    state.changeQuietly {
      $0.actions[id] = nil
      return false
    }
  }
}
