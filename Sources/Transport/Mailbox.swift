import Support

/// What other threads want a loop's thread to do, in the order they asked.
final class Mailbox<Item: Sendable>: Sendable {
  private struct State {
    var items: [Item] = []
    var isClosed = false
  }

  private let state = Guarded(State())

  /// Adds `item`; false if the mailbox is closed, then the item is not kept.
  func post(_ item: Item) -> Bool {
    state.withLock { state in
      if state.isClosed { return false }
      state.items.append(item)
      return true
    }
  }

  /// Takes everything.
  func take() -> [Item] {
    state.withLock { state in
      let items = state.items
      state.items = []
      return items
    }
  }

  /// Takes everything and accepts nothing more.
  func close() -> [Item] {
    state.withLock { state in
      state.isClosed = true
      let items = state.items
      state.items = []
      return items
    }
  }
}
