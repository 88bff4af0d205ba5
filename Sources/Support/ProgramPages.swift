import CLinux
import Glibc
import SystemPackage

/// The pages of this process that hold files: the program and its libraries.
public enum ProgramPages {
  /// Gives back those that no other process maps. What is needed again is read again; what was needed at the start alone
  /// stays away, and what was written stays in memory or goes to swap. Blocks for some milliseconds.
  public static func giveBack() {
    guard let maps = (try? Files.read("/proc/self/maps")) ?? nil else { return }
    for line in String(decoding: maps, as: UTF8.self).split(separator: "\n") {
      // START-END MODE OFFSET DEVICE INODE PATH
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      let range = fields[0].split(separator: "-").compactMap { UInt(String($0), radix: 16) }
      guard fields.count > 5, fields[5].hasPrefix("/"), range.count == 2 else { continue }
      madvise(UnsafeMutableRawPointer(bitPattern: range[0]), Int(range[1] - range[0]), clinux_madv_pageout)
    }
  }
}
