/// The events of one watched folder, for one consumer, until the last reference to this is gone.
///
/// A slow consumer costs no memory: what happens to a name meanwhile becomes one entry, and too many names one
/// ``FolderEvent/look``. The first event is that, too: whatever happens after it, the consumer hears of.
public final class FolderWatch: AsyncSequence, Sendable {
  /// Names that are kept for a slow consumer.
  static let limit = 256

  private struct State {
    var isLookDue = true
    var changes: [String: FileChanges] = [:]
    var end: FolderEvent?
    /// The end has been delivered. A signal that was on its way meanwhile must not deliver it again.
    var isOver = false
  }

  private let kinds: FileChanges
  private let state = Guarded(State())
  private let signal = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
  /// Runs when the last reference is gone.
  private let release: @Sendable () -> Void

  init(_ kinds: FileChanges, release: @escaping @Sendable () -> Void) {
    self.kinds = kinds
    self.release = release
    signal.continuation.yield()
  }

  deinit { release() }

  /// The events so far, and those to come. There can be one iterator.
  public func makeAsyncIterator() -> Iterator { Iterator(watch: self, signals: signal.stream.makeAsyncIterator()) }

  /// Waits for the next event.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let watch: FolderWatch
    fileprivate var signals: AsyncStream<Void>.AsyncIterator

    /// The next event; nil after the last one, and when the task is cancelled.
    public mutating func next() async -> FolderEvent? {
      while await signals.next() != nil {
        if let event = watch.take() { return event }
      }
      return nil
    }
  }

  // MARK: For the watcher's thread

  func note(_ name: String, _ changes: FileChanges) {
    let changes = changes.intersection(kinds)
    guard !changes.isEmpty else { return }
    let isNew = state.withLock { state -> Bool in
      guard !state.isLookDue else { return false }
      let wasEmpty = state.changes.isEmpty
      state.changes[name, default: []].formUnion(changes)
      if state.changes.count > FolderWatch.limit { (state.changes, state.isLookDue) = ([:], true) }
      return wasEmpty
    }
    if isNew { signal.continuation.yield() }
  }

  func lookAgain() {
    state.withLock { ($0.changes, $0.isLookDue) = ([:], true) }
    signal.continuation.yield()
  }

  /// Nothing comes after `event`; what came before it is still delivered.
  func end(with event: FolderEvent) {
    state.withLock { $0.end = $0.end ?? event }
    signal.continuation.yield()
  }

  private func take() -> FolderEvent? {
    let event = state.withLock { state -> FolderEvent? in
      if state.isOver { return nil }
      if state.isLookDue {
        state.isLookDue = false
        return .look
      }
      if !state.changes.isEmpty {
        defer { state.changes = [:] }
        return .changed(state.changes)
      }
      state.isOver = state.end != nil
      return state.end
    }
    switch event {
    case .look, .changed: signal.continuation.yield()  // The end may wait behind it.
    case .gone, .unavailable: signal.continuation.finish()
    case nil: break
    }
    return event
  }
}
