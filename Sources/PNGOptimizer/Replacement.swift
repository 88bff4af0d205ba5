import Glibc
import Support
import SystemPackage

/// A new file in the place of another.
enum Replacement {
  /// Writes `content` to a file beside `path`, gives it that one's permissions and time of change, and its name, unless the
  /// status of `path` is another one by then. Whatever goes wrong, nothing is left behind.
  /// - Returns: whether it was replaced.
  static func put(_ content: [UInt8], inPlaceOf path: FilePath, status: Files.Status) throws(FileError) -> Bool {
    let name = ".optimizing-\(String(UInt64.random(in: .min ... .max), radix: 36))"
    let temporary = path.removingLastComponent().appending(name)
    let file: FileDescriptor
    do {
      file = try FileDescriptor.open(
        temporary, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec], permissions: .ownerReadWrite)
    } catch {
      throw FileError("create a file beside", path, error as? Errno ?? .ioError)
    }
    var isMoved = false
    defer { if !isMoved { try? Files.remove(temporary) } }
    do {
      try file.closeAfter {
        try file.writeAll(content)
        let time = timespec(tv_sec: status.modified[0], tv_nsec: status.modified[1])
        guard fchmod(file.rawValue, status.permissions.rawValue) == 0, futimens(file.rawValue, [time, time]) == 0 else {
          throw Errno(rawValue: errno)
        }
      }
    } catch {
      throw FileError("write a file beside", path, error as? Errno ?? .ioError)
    }
    guard Files.status(of: path, followsLinks: false) == status else { return false }
    try Files.move(temporary, to: path)
    isMoved = true
    return true
  }
}
