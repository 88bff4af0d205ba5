import Support

/// Images that a web UI has, as far as the jobs of this host have learnt: the same screen is seen by many jobs, and is not
/// sent before the web UI asks for it. All slots share it.
package final class KnownImages: Sendable {
  /// MD5 sums in two generations, so that what is not seen again is forgotten.
  private struct State {
    var young: Set<String> = []
    var old: Set<String> = []
  }

  private let capacity: Int
  private let state = Guarded(State())

  /// - Parameter capacity: how many are remembered, at most; about 100 bytes each.
  package init(capacity: Int = 20000) { self.capacity = max(2, capacity) }

  func contains(_ sum: String) -> Bool {
    state.withLock { state in
      if state.young.contains(sum) { return true }
      guard state.old.contains(sum) else { return false }
      remember(sum, in: &state)
      return true
    }
  }

  func insert(_ sums: some Sequence<String> & Sendable) {
    state.withLock { state in for sum in sums { remember(sum, in: &state) } }
  }

  private func remember(_ sum: String, in state: inout State) {
    state.young.insert(sum)
    if state.young.count > capacity / 2 { (state.old, state.young) = (state.young, []) }
  }
}
