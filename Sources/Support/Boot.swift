import Glibc
import SystemPackage

/// The run of the system since it was booted.
public enum Boot {
  /// Names it; no other has the same.
  public static let id: String = {
    let text = (try? Files.read("/proc/sys/kernel/random/boot_id", limit: 256)) ?? nil
    return text.map { String(decoding: $0, as: UTF8.self).trimmed } ?? ""
  }()

  /// Seconds since it began, time in which the system slept included.
  public static var time: Double {
    var now = timespec()
    clock_gettime(CLOCK_BOOTTIME, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
  }
}
