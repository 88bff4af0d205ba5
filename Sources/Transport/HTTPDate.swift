import Glibc

/// Points in time as HTTP headers have them (RFC 9110).
public enum HTTPDate {
  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  /// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`; nil for anything else, the obsolete forms too.
  public static func seconds(_ text: String) -> Int64? {
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 6, words[0].hasSuffix(","), words[5] == "GMT",
      let month = months.firstIndex(of: String(words[2])),
      let day = number(words[1], in: 1...31), let year = number(words[3], in: 1970...9999)
    else { return nil }
    let clock = words[4].split(separator: ":", omittingEmptySubsequences: false)
    guard clock.count == 3, let hour = number(clock[0], in: 0...23), let minute = number(clock[1], in: 0...59),
      let second = number(clock[2], in: 0...60)
    else { return nil }
    var parts = tm()
    parts.tm_year = year - 1900
    parts.tm_mon = Int32(month)
    parts.tm_mday = day
    parts.tm_hour = hour
    parts.tm_min = minute
    parts.tm_sec = second
    return Int64(timegm(&parts))
  }

  /// How long a `Retry-After` header asks to wait, given in seconds or as a date; nil if it is neither.
  /// - Parameter now: seconds since 1970.
  public static func wait(retryAfter value: String, now: Int64) -> Duration? {
    // Bounded: a year has four digits at most.
    if let date = seconds(value) { return .seconds(max(0, date - now)) }
    guard value.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    // Bounded: a time holds any number of seconds.
    return Int64(value).map { .seconds($0) }
  }

  private static func number(_ text: Substring, in range: ClosedRange<Int32>) -> Int32? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int32(text) else { return nil }
    return range.contains(number) ? number : nil
  }
}
