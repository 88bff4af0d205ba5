import Glibc
import Support
package import SystemPackage

/// A file system on a folder, which is gone with the last reference to it.
package final class Mount: Sendable {
  private let folder: FilePath
  /// The end at which a file system's server would read its requests.
  private let server: FileDescriptor?

  /// Whether this process may mount at all.
  package static let isAllowed: Bool = {
    guard let folder = try? TemporaryFolder() else { return false }
    return (try? Mount(on: folder.path, size: 4096)) != nil
  }()

  /// Whether it may mount a file system with a server.
  package static let isFUSEAllowed = isAllowed && access("/dev/fuse", R_OK | W_OK) == 0

  /// A file system of so many bytes.
  package init(on folder: FilePath, size: Int, isReadOnly: Bool = false) throws {
    self.folder = folder
    server = nil
    try Mount.mount("tmpfs", on: folder, options: "size=\(size),mode=755\(isReadOnly ? ",ro" : "")")
  }

  /// What is at `source`, a folder or a file, once more on `path`.
  package init(of source: FilePath, on path: FilePath) throws {
    folder = path
    server = nil
    let status = source.withPlatformString { source in
      path.withPlatformString { Glibc.mount(source, $0, nil, UInt(MS_BIND), nil) }
    }
    guard status == 0 else { throw FileError("mount on", path, Errno(rawValue: errno)) }
  }

  /// A file system whose server never answers. Whoever waits for it gets an error when this is gone; should this process
  /// die before, the kernel sees to that.
  package init(hangingOn folder: FilePath) throws {
    self.folder = folder
    let server = try FileDescriptor.open("/dev/fuse", .readWrite, options: .closeOnExec)
    self.server = server
    do {
      try Mount.mount("fuse", on: folder, options: "fd=\(server.rawValue),rootmode=40000,user_id=0,group_id=0")
    } catch {
      try? server.close()
      throw error
    }
  }

  deinit {
    // Aborts what waits, before the name is given back.
    try? server?.close()
    _ = folder.withPlatformString { umount2($0, Int32(MNT_DETACH)) }
  }

  private static func mount(_ type: String, on folder: FilePath, options: String) throws {
    let flags = UInt(MS_NOSUID | MS_NODEV)
    let status = folder.withPlatformString { Glibc.mount("worker-agent-test", $0, type, flags, options) }
    guard status == 0 else { throw FileError("mount on", folder, Errno(rawValue: errno)) }
  }
}
