import Glibc
package import OpenQAProtocol
package import Support
import SystemPackage

/// A pool that cannot be used, in words for who runs the host: what does not work, and what to do about it.
package struct PoolFailure: Error, Sendable, Hashable, CustomStringConvertible {
  package var description: String
  /// Another process has the lock.
  package let isHeldByAnother: Bool
  /// The fault of the host behind it, if it is one that every job meets.
  package let fault: HostFault?

  package init(_ error: FileError) {
    isHeldByAnother = error.errno == .resourceTemporarilyUnavailable
    fault = HostFault(writingToPool: error)
    description = "\(error)\(PoolFailure.remedy(for: error.errno).map { " (\($0))" } ?? "")"
  }

  /// A pool in which something is left: the first entry, the reason, and how many there are.
  package init?(_ report: FolderRemoval.Report) {
    guard let failure = report.failures.first else { return nil }
    isHeldByAnother = false
    fault = .uncleanPool
    let path = failure.path.string.quotable(limit: 2000)
    let reason =
      switch failure.reason {
      case .isMountPoint: "something is mounted there (umount \(path))"
      case .error(_, .notPermitted) where geteuid() == 0: "\(Errno.notPermitted) (if it is immutable: chattr -i)"
      case .error(_, let errno): "\(errno)\(PoolFailure.remedy(for: errno).map { " (\($0))" } ?? "")"
      }
    let more = report.failureCount - 1
    description = "\(path): \(reason)\(more > 0 ? ", and \(more) more" : "")"
  }

  private static func remedy(for errno: Errno) -> String? {
    switch errno {
    case .noSpace, .diskQuotaExceeded: "free space there, or remove what old jobs have left"
    case .permissionDenied, .notPermitted: "let the user of this process (uid \(geteuid())) own it and all above"
    case .readOnlyFileSystem: "mount it for writing"
    case .ioError: "look for errors of the disk in the kernel's log"
    case .resourceTemporarilyUnavailable: "is another worker using it? Each instance has a pool of its own"
    case .notDirectory, .fileExists: "a file is in the place of a directory: move it away"
    default: nil
    }
  }
}

extension HostFault {
  /// The fault behind a failure to write to the pool; `nil` if another job may fare better.
  init?(writingToPool error: FileError) {
    guard [.noSpace, .readOnlyFileSystem, .ioError].contains(error.errno) else { return nil }
    self = .unwritablePool
  }
}
