import CLinux
import Glibc
public import SystemPackage

/// This process.
public enum CurrentProcess {
  /// Its program's file, by the name that it was started with; another one may be there by now.
  public static let program: FilePath? = Files.linkTarget("/proc/self/exe")

  /// The number of open files that a slot with its jobs is sure to get along with.
  private static let wantedOpenFiles: UInt64 = 8192
  /// Below it, connections and job-supervisor run out of descriptors.
  private static let neededOpenFiles: UInt64 = 512

  /// Puts right what a careless parent leaves to its children: ignored and blocked signals, and a low limit of open files.
  /// For the start of a program.
  /// - Returns: what cannot be put right, in words.
  public static func resetInheritedState() -> [String] {
    clinux_reset_signals()
    let limit = clinux_raise_open_files(wantedOpenFiles)
    if limit >= neededOpenFiles { return [] }
    return [
      "Only \(limit) files can be open at a time, which is too few for jobs: "
        + "set LimitNOFILE=\(wantedOpenFiles) in the unit, or raise the limit with 'ulimit -n'"
    ]
  }

  /// Runs another program in this process's place, with the same environment. No descriptor but 0 to 2 reaches it, no
  /// signal is ignored or blocked.
  /// - Returns: why that cannot be done.
  public static func replace(with program: FilePath, arguments: [String]) -> Errno {
    var copies = arguments.map { strdup($0) } + [nil]
    defer { for copy in copies { free(copy) } }
    return Errno(rawValue: program.withPlatformString { clinux_replace_process($0, &copies) })
  }
}
