import Glibc
import Support
import SystemPackage

/// A file to send, of the size that it had at the start. All its methods block: they belong on an I/O lane.
final class SourceFile: BodySource {
  private struct Identity: Equatable {
    var device: dev_t
    var inode: ino_t
  }

  /// Bytes to send.
  let length: Int
  /// The first bytes, so that a small file is done with one visit to the lane.
  let beginning: [UInt8]
  private let path: FilePath
  private let identity: Identity
  /// Opened when more than the beginning is asked for: requests that wait for a connection hold no descriptor.
  private let descriptor = Guarded<FileDescriptor?>(nil)

  /// Takes the file's size and first bytes.
  /// - Throws: ``TransportError`` with code `file`.
  init(_ path: FilePath) throws(TransportError) {
    self.path = path
    let (descriptor, status) = try Self.open(path)
    defer { try? descriptor.close() }
    identity = Identity(device: status.st_dev, inode: status.st_ino)
    length = Int(status.st_size)
    beginning = try Self.read(descriptor, path, at: 0, count: min(length, 64 << 10))
  }

  deinit { try? descriptor.withLock { $0 }?.close() }

  /// The bytes from `offset` on, at least one and at most `count`; `offset` must be less than ``length``.
  /// - Throws: ``TransportError`` with code `file`, also if the file is another one by now or has shrunk.
  func read(at offset: Int, count: Int) throws(TransportError) -> [UInt8] {
    if let descriptor = descriptor.withLock({ $0 }) {
      return try Self.read(descriptor, path, at: offset, count: min(count, length - offset))
    }
    let (opened, status) = try Self.open(path)
    descriptor.withLock { $0 = opened }
    guard identity == Identity(device: status.st_dev, inode: status.st_ino) else {
      throw TransportError(.file, "cannot send \(path): it was replaced while it was sent")
    }
    return try Self.read(opened, path, at: offset, count: min(count, length - offset))
  }

  func read(at offset: Int) throws -> [UInt8] { try read(at: offset, count: 256 << 10) }

  private static func open(_ path: FilePath) throws(TransportError) -> (FileDescriptor, stat) {
    let descriptor: FileDescriptor
    do {
      // Without O_NONBLOCK a named pipe would hang the thread.
      descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
    } catch {
      throw TransportError(.file, "cannot read \(path): \(error)")
    }
    var status = stat()
    guard fstat(descriptor.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      try? descriptor.close()
      throw TransportError(.file, "cannot send \(path): not a regular file")
    }
    return (descriptor, status)
  }

  private static func read(
    _ descriptor: FileDescriptor, _ path: FilePath, at offset: Int, count: Int
  ) throws(TransportError) -> [UInt8] {
    var failure: (any Error)?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
      do {
        used = try descriptor.read(fromAbsoluteOffset: Int64(offset), into: UnsafeMutableRawBufferPointer(buffer))
      } catch {
        failure = error
      }
    }
    if let failure { throw TransportError(.file, "cannot read \(path): \(failure)") }
    guard !bytes.isEmpty || count == 0 else {
      throw TransportError(.file, "cannot send \(path): it shrank to \(offset) bytes while it was sent")
    }
    return bytes
  }
}
