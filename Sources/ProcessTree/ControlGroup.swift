import Glibc
import Support
public import SystemPackage

/// Control groups of version 2.
public enum ControlGroup {
  /// The folder of this process's own group, nil if the system has none.
  public static var own: FilePath? {
    lines("/proc/self/cgroup").first { $0.hasPrefix("0::/") }.flatMap { folder(of: $0.dropFirst(3)) }
  }

  /// The folder of the group of this name, a path from the root of the hierarchy such as `test.slice`; nil if the system
  /// has none.
  public static func named(_ name: String) -> FilePath? { folder(of: "/" + name.drop { $0 == "/" }) }

  /// Removes groups of trees below `parent` whose supervisor is gone, if nobody is in them: who was killed could not.
  static func removeAbandoned(below parent: FilePath) {
    for group in (try? Files.entries(in: parent)) ?? [] {
      // job-PID-START, as supervisors name them.
      let words = Files.name(of: group).split(separator: "-")
      guard words.count == 3, words[0] == "job", let owner = ProcessID(words[1...]) else { continue }
      if ProcessID(of: owner.pid) != owner { _ = group.withPlatformString { rmdir($0) } }
    }
  }

  /// Besides the unified hierarchy, the hybrid one is understood, where version 2 is mounted beside version 1.
  private static func folder(of group: Substring) -> FilePath? {
    // ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS [TAG]... - TYPE SOURCE OPTIONS
    for line in lines("/proc/self/mountinfo") where line.contains(" - cgroup2 ") {
      let fields = line.split(separator: " ")
      guard fields.count > 5, let below = relative(group, to: fields[3]) else { continue }
      return FilePath(String(fields[4])).appending(FilePath(below).components)
    }
    return nil
  }

  private static func lines(_ path: FilePath) -> [Substring] {
    String(decoding: (try? Files.read(path)) ?? [], as: UTF8.self).split(separator: "\n")
  }

  /// A container can see a part of the hierarchy only, `root`.
  private static func relative(_ group: Substring, to root: Substring) -> String? {
    if root == "/" { return String(group.dropFirst()) }
    guard group == root || group.hasPrefix(root + "/") else { return nil }
    return String(group.dropFirst(root.count + 1))
  }
}
