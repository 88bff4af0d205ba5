import Glibc
import Support
package import SystemPackage

/// A folder that is gone, with all that is in it, when the last reference to it is.
package final class TemporaryFolder: Sendable {
  package let path: FilePath

  /// Makes a new folder.
  /// - Parameter place: the folder to make it in; nil for TMPDIR.
  package init(in place: String? = nil) throws {
    let parent = place ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/worker-agent-test.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw FileError("create", FilePath(parent), Errno(rawValue: errno))
    }
    path = FilePath(platformString: template)
  }

  deinit { try? Files.remove(path) }
}
