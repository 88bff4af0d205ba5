import Glibc

/// Points in time as logs show them.
public enum Timestamp {
  /// `2026-11-20T22:11:08.123456+01:00`: local time, `Z` at UTC.
  public static func local() -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return local(seconds: now.tv_sec, microseconds: now.tv_nsec / 1000)
  }

  /// `2026-11-20 21:11:08`, UTC.
  public static func utc() -> String { utc(seconds: time(nil)) }

  /// The same for a time in seconds since 1970.
  public static func utc(seconds: Int) -> String {
    var now = seconds
    var parts = tm()
    gmtime_r(&now, &parts)
    return date(parts, separator: " ")
  }

  static func local(seconds: Int, microseconds: Int) -> String {
    var seconds = seconds
    var parts = tm()
    localtime_r(&seconds, &parts)
    let minutes = abs(parts.tm_gmtoff) / 60
    let zone =
      parts.tm_gmtoff == 0
      ? "Z" : "\(parts.tm_gmtoff < 0 ? "-" : "+")\(padded(minutes / 60, 2)):\(padded(minutes % 60, 2))"
    return "\(date(parts, separator: "T")).\(padded(microseconds, 6))\(zone)"
  }

  private static func date(_ parts: tm, separator: String) -> String {
    let day = "\(parts.tm_year + 1900)-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
    let time = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { padded(Int($0), 2) }.joined(separator: ":")
    return day + separator + time
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
