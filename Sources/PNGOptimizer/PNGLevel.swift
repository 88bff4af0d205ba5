/// How much time an image may take.
public enum PNGLevel: String, Sendable, Hashable, CaseIterable {
  /// About half the time of `fast`.
  case fastest
  /// About 20 ms for a screen of 1024 × 768.
  case fast
  /// About five times as long as `fast`, for a twelfth of the bytes.
  case standard = "default"
  /// As small as can be.
  case small

  /// The level for the next image when so many are waiting for each thread: the more, the faster, so that what is captured
  /// in a burst is ready in about a second, or two.
  public static func forBacklog(_ waiting: Int, threads: Int) -> PNGLevel {
    switch waiting / max(threads, 1) {
    case ..<10: .standard
    case ..<100: .fast
    default: .fastest
    }
  }

  /// That of libdeflate.
  var effort: Int32 {
    switch self {
    case .fastest: 4
    case .fast: 7
    case .standard: 10
    case .small: 12
    }
  }
}
