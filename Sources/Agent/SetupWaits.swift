import Support

/// What a job's set-up waits for, to be seen from outside while it lasts.
final class SetupWaits: Sendable {
  private struct State {
    var next = 0
    var waits: [(id: Int, what: String)] = []
  }

  private let state = Guarded(State())

  /// All that is waited for now, what began first first; nil for nothing that would be worth a word.
  var text: String? {
    let waits = state.withLock { $0.waits.map(\.what) }
    return waits.isEmpty ? nil : waits.joined(separator: ", ")
  }

  /// Runs `body`, and says meanwhile that the set-up waits for it.
  /// - Parameter what: in words, like `downloading hdd/x.qcow2`.
  func wait<Value>(
    for what: String, _ body: () async throws -> Value, isolation: isolated (any Actor)? = #isolation
  ) async rethrows -> Value {
    let id = state.withLock { state in
      state.next += 1
      state.waits.append((state.next, what))
      return state.next
    }
    defer { state.withLock { $0.waits.removeAll { $0.id == id } } }
    return try await body()
  }
}
