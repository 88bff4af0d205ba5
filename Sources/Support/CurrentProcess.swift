import CLinux
import Glibc
public import SystemPackage

/// This process.
public enum CurrentProcess {
  /// Its program's file, by the name that it was started with; another one may be there by now.
  public static let program: FilePath? = Files.linkTarget("/proc/self/exe")

  /// Runs another program in this process's place, with the same environment. No descriptor but 0 to 2 reaches it, no
  /// signal is ignored or blocked.
  /// - Returns: why that cannot be done.
  public static func replace(with program: FilePath, arguments: [String]) -> Errno {
    var copies = arguments.map { strdup($0) } + [nil]
    defer { for copy in copies { free(copy) } }
    return Errno(rawValue: program.withPlatformString { clinux_replace_process($0, &copies) })
  }
}
