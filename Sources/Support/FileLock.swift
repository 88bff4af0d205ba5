import CLinux
import Glibc
public import SystemPackage

/// A file that this process alone may hold. The lock ends with the object.
///
/// It belongs to the open file rather than to the process, so that no other close of the same file loses it; POSIX locks
/// of other programs exclude it and are excluded by it.
public final class FileLock: Sendable {
  private let handle: FileDescriptor

  /// Locks `path`, which is created if it is not there and then holds this process's id.
  /// - Throws: ``FileError``; `EAGAIN` if another process has the lock.
  public init(_ path: FilePath) throws(FileError) {
    do {
      handle = try FileDescriptor.open(
        path, .readWrite, options: [.create, .closeOnExec, .noFollow], permissions: FilePermissions(rawValue: 0o644))
    } catch {
      throw FileError("open", path, error as? Errno ?? .ioError)
    }
    let code = clinux_lock_file(handle.rawValue, false)
    guard code == 0 else {
      try? handle.close()
      throw FileError("lock", path, Errno(rawValue: code))
    }
    ftruncate(handle.rawValue, 0)
    _ = try? handle.writeAll(Array("\(getpid())\n".utf8))
  }

  /// Takes over a descriptor of a file that is locked through it, as another process handed it over.
  /// - Throws: ``FileError``; `EAGAIN` if the lock is somebody else's. The descriptor is closed then.
  public init(adopting descriptor: FileDescriptor) throws(FileError) {
    handle = descriptor
    // For the open file that has the lock already this changes nothing.
    let code = clinux_lock_file(descriptor.rawValue, false)
    if code != 0 { throw FileError("lock", "a descriptor", Errno(rawValue: code)) }
  }

  /// Whether somebody has the lock of `path`, this process included. Nobody has that of a file that is not there.
  /// - Throws: ``FileError``.
  public static func isHeld(_ path: FilePath) throws(FileError) -> Bool {
    do {
      let handle = try FileDescriptor.open(path, .readOnly, options: [.nonBlocking, .closeOnExec])
      return try handle.closeAfter {
        var isHeld = false
        let code = clinux_is_locked(handle.rawValue, &isHeld)
        if code != 0 { throw Errno(rawValue: code) }
        return isHeld
      }
    } catch {
      let reason = error as? Errno ?? .ioError
      if reason == .noSuchFileOrDirectory { return false }
      throw FileError("look at the lock of", path, reason)
    }
  }

  /// Gives the lock up now, whoever still has this object or a copy of its descriptor.
  public func unlock() { clinux_unlock_file(handle.rawValue) }

  /// The open file, as long as this object is there: a process that it is given to has the lock as well.
  public var descriptor: FileDescriptor { handle }

  deinit { try? handle.close() }
}
