import Transport

/// How far this host's clock and that of a web UI are apart, as the `Date` of an answer shows.
///
/// A web UI refuses requests that were signed more than 300 s ago, or ahead of its time (protocol §2).
package struct ClockDifference: Sendable, Hashable, CustomStringConvertible {
  /// A smaller difference is not worth a word.
  private static let notable: Int64 = 60

  /// Seconds that this host's clock is ahead; negative if it is behind.
  package let seconds: Int64

  /// The difference that an answer shows; nil if there is none to speak of, or it bears no date.
  /// - Parameters:
  ///   - date: the value of its `Date` header.
  ///   - sent: when this host sent the request, in seconds since 1970, and `received` when it had the answer.
  package init?(date: String?, sent: Int64, received: Int64) {
    guard let date = date.flatMap(HTTPDate.seconds) else { return nil }
    seconds = date < sent ? sent - date : min(0, received - date)
    if abs(seconds) < ClockDifference.notable { return nil }
  }

  /// What it is, and what to do about it.
  package var description: String {
    "this host's clock is \(abs(seconds)) s \(seconds > 0 ? "ahead of" : "behind") the web UI's: synchronise both with a "
      + "time server (timedatectl shows whether a clock is); a web UI takes no requests that are 300 s off"
  }
}
