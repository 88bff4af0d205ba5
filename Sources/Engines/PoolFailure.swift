import Glibc
package import Support
import SystemPackage

/// A pool that cannot be used, in words for who runs the host: what does not work, and what to do about it.
package struct PoolFailure: Error, Sendable, Hashable, CustomStringConvertible {
  package var description: String
  /// Another process has the lock.
  package let isHeldByAnother: Bool

  package init(_ error: FileError) {
    let remedy: String? =
      switch error.errno {
      case .noSpace, .diskQuotaExceeded: "free space there, or remove what old jobs have left"
      case .permissionDenied, .notPermitted: "let the user of this process (uid \(geteuid())) own it and all above"
      case .readOnlyFileSystem: "mount it for writing"
      case .ioError: "look for errors of the disk in the kernel's log"
      case .resourceTemporarilyUnavailable: "is another worker using it? Each instance has a pool of its own"
      case .notDirectory, .fileExists: "a file is in the place of a directory: move it away"
      default: nil
      }
    isHeldByAnother = error.errno == .resourceTemporarilyUnavailable
    description = "\(error)\(remedy.map { " (\($0))" } ?? "")"
  }
}
