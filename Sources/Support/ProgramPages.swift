import CLinux
import Glibc
import SystemPackage

/// The pages of this process that hold files: the program and its libraries.
public enum ProgramPages {
  /// Gives back those that no other process maps. What is needed again comes again; what was needed at the start alone
  /// stays away, and what was written stays in memory or goes to swap. Blocks for some milliseconds.
  /// - Parameter isQuick: only what comes back without being read again: the code, of which the system keeps a copy.
  public static func giveBack(isQuick: Bool = false) {
    guard let maps = (try? Files.read("/proc/self/maps")) ?? nil else { return }
    for line in String(decoding: maps, as: UTF8.self).split(separator: "\n") {
      // START-END MODE OFFSET DEVICE INODE PATH
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      let range = fields[0].split(separator: "-").compactMap { UInt(String($0), radix: 16) }
      guard fields.count > 5, fields[5].hasPrefix("/"), range.count == 2 else { continue }
      // Code is never written, so that nothing is lost with its pages.
      let isCode = fields[1].hasPrefix("r-x")
      if isQuick, !isCode { continue }
      madvise(
        UnsafeMutableRawPointer(bitPattern: range[0]), Int(range[1] - range[0]),
        isQuick ? MADV_DONTNEED : clinux_madv_pageout)
    }
  }
}
