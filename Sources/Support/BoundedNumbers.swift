/// Arithmetic on numbers from outside, which can be anything: Swift ends the process, and every job with it, when a sum
/// overflows or a number does not fit. What is here saturates.
extension FixedWidthInteger {
  /// The nearest integer to `value` that there is; 0 for what is no number.
  public init(saturating value: Double) {
    if let exact = Self(exactly: value.rounded(.towardZero)) {
      self = exact
    } else {
      self = value.isNaN ? 0 : value < 0 ? .min : .max
    }
  }

  /// Returns the sum, or the nearest number to it that there is.
  public func addingSaturating(_ other: Self) -> Self {
    let (sum, overflows) = addingReportingOverflow(other)
    return overflows ? (other < 0 ? .min : .max) : sum
  }
}

extension Duration {
  /// The longest time that any limit or wait can have, about 31 years.
  public static let longest = Duration.seconds(1_000_000_000)

  /// A number of seconds from outside, brought within ±``longest``; zero for what is no number.
  public init(boundedSeconds seconds: Double) {
    let bound = 1e9
    // Bounded: by the line itself.
    self = seconds.isNaN ? .zero : .seconds(min(max(seconds, -bound), bound))
  }
}

extension StringProtocol {
  /// The number that the text begins with, as Perl reads it: `3` of `3s`; nil if it begins with none. White space before
  /// it is skipped. What is too large is infinite.
  public var leadingNumber: Double? {
    guard let match = Substring(self).prefixMatch(of: /\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)/)
    else { return nil }
    // Double's own reader takes no point at the end.
    return Double(match.1) ?? Double("\(match.1)0")
  }
}
