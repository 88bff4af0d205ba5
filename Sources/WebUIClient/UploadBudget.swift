import Support

/// The places for uploads to one web UI, which all slots of the host share, first come, first served.
package final class UploadBudget: Sendable {
  /// Opened with a place, or with nil by who waits for it no longer.
  private typealias Turn = Latch<UploadWindow.Place?>

  private struct State {
    var window: UploadWindow
    var waiting: [Turn] = []
  }

  /// Uploads at a time, however well the web UI does.
  let maximum: Int
  private let state: Guarded<State>

  /// - Parameter maximum: at least 1.
  package init(_ maximum: Int) {
    let window = UploadWindow(maximum: maximum)
    self.maximum = window.maximum
    state = Guarded(State(window: window))
  }

  /// Uploads at a time now.
  package var limit: Int { state.withLock { $0.window.limit } }

  /// Makes one try of an upload when there is a place for it.
  /// - Throws: what `body` throws; `CancellationError` while it waits.
  func use<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
    let place = try await take()
    do {
      let value = try await body()
      leave(place, isCongested: false)
      return value
    } catch {
      leave(place, isCongested: (error as? WebUIError)?.isBusy)
      throw error
    }
  }

  private func take() async throws -> UploadWindow.Place {
    let turn = Turn()
    let place = state.withLock { state in
      let place = state.waiting.isEmpty ? state.window.enter() : nil
      if place == nil { state.waiting.append(turn) }
      return place
    }
    if let place { return place }
    let given: UploadWindow.Place?
    do { given = try await turn.wait() } catch {
      // Whoever opens it first decides: this one, or who gives it a place.
      if !turn.open(with: nil), let missed = turn.value ?? nil { leave(missed, isCongested: nil) }
      throw error
    }
    guard let given else { throw CancellationError() }
    return given
  }

  private func leave(_ place: UploadWindow.Place, isCongested: Bool?) {
    var given: [(turn: Turn, place: UploadWindow.Place)] = state.withLock { state in
      state.window.leave(place, isCongested: isCongested)
      return UploadBudget.assign(&state)
    }
    while !given.isEmpty {
      let missed = given.filter { !$0.turn.open(with: $0.place) }.map(\.place)
      given = state.withLock { state in
        for place in missed { state.window.leave(place, isCongested: nil) }
        return missed.isEmpty ? [] : UploadBudget.assign(&state)
      }
    }
  }

  /// Who gets the places that there are.
  private static func assign(_ state: inout State) -> [(turn: Turn, place: UploadWindow.Place)] {
    var given: [(turn: Turn, place: UploadWindow.Place)] = []
    while let turn = state.waiting.first, let place = state.window.enter() {
      state.waiting.removeFirst()
      given.append((turn, place))
    }
    return given
  }
}
