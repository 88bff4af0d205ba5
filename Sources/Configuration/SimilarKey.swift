/// The key that a mistyped key was probably meant to be.
///
/// An unknown key is no error: it is a setting of every job. So a mistyped one would change nothing and be noticed by nobody.
enum SimilarKey {
  /// Returns the most similar of `known`; nil if none is similar, or if `key` is one of them.
  ///
  /// Similar are keys that differ in their underscores alone, or by one insertion, deletion, replacement or swap of
  /// neighbours; by two of these if they have eight characters or more.
  static func find(for key: String, among known: [String]) -> String? {
    let length = key.utf8.count
    guard !known.contains(key), length <= 64 else { return nil }
    let bare = bare(key)
    if let same = known.first(where: { self.bare($0) == bare }) { return same }
    let limit = length < 8 ? 1 : 2
    let distances = known.map { (name: $0, distance: distance(key, $0)) }
    return distances.filter { $0.distance <= limit }.min { $0.distance < $1.distance }?.name
  }

  private static func bare(_ key: String) -> [UInt8] { key.utf8.filter { $0 != UInt8(ascii: "_") } }

  /// The number of edits between two keys (optimal string alignment).
  private static func distance(_ first: String, _ second: String) -> Int {
    let (first, second) = (Array(first.utf8), Array(second.utf8))
    var before: [Int] = []
    var last = Array(0...second.count)
    for i in first.indices {
      var row = [i + 1]
      for j in second.indices {
        var best = min(last[j + 1] + 1, row[j] + 1, last[j] + (first[i] == second[j] ? 0 : 1))
        if i > 0, j > 0, first[i] == second[j - 1], first[i - 1] == second[j] { best = min(best, before[j - 1] + 1) }
        row.append(best)
      }
      (before, last) = (last, row)
    }
    return last[second.count]
  }
}
