/// How many uploads a web UI gets at a time: fewer when it has too much to do, and up again after.
struct UploadWindow: Sendable, Hashable {
  let maximum: Int
  /// How many there may be now, from 1 to ``maximum``.
  private(set) var limit: Int
  private(set) var used = 0
  /// Changes with each decrease: what had begun before it says nothing of the new limit.
  private var era = 0
  /// Uploads that went well since the limit was changed last.
  private var successes = 0

  init(maximum: Int) {
    self.maximum = max(1, maximum)
    limit = self.maximum
  }

  /// Takes a place if there is one, and says in which era the upload begins.
  mutating func enter() -> Int? {
    guard used < limit else { return nil }
    used += 1
    return era
  }

  /// Gives a place back.
  /// - Parameters:
  ///   - begin: the upload's era.
  ///   - isCongested: the web UI had too much to do for this upload; nil if nothing is known of that.
  mutating func leave(_ begin: Int, isCongested: Bool?) {
    used -= 1
    guard let isCongested, begin == era else { return }
    if isCongested {
      limit = max(1, limit / 2)
      era += 1
      successes = 0
    } else if limit < maximum {
      successes += 1
      if successes > limit {
        limit += 1
        successes = 0
      }
    }
  }
}
