import Glibc
import OpenQAProtocol
import Support
import SystemPackage

/// A file that is read while it grows, each byte once. Blocks.
struct LogTail {
  private final class Handle {
    let descriptor: FileDescriptor
    let identity: [UInt64]

    init?(_ path: FilePath) {
      guard let descriptor = try? FileDescriptor.open(path, .readOnly, options: [.nonBlocking, .closeOnExec]) else {
        return nil
      }
      self.descriptor = descriptor
      var raw = stat()
      let isKnown = fstat(descriptor.rawValue, &raw) == 0
      identity = [UInt64(raw.st_dev), UInt64(raw.st_ino)]
      // What is no plain file could keep its reader waiting.
      if !isKnown || raw.st_mode & S_IFMT != S_IFREG { return nil }
    }

    var size: Int64 {
      var raw = stat()
      return fstat(descriptor.rawValue, &raw) == 0 ? Int64(raw.st_size) : 0
    }

    deinit { try? descriptor.close() }
  }

  private let path: FilePath
  private var handle: Handle?
  /// Bytes that are done with.
  private(set) var offset: Int64

  init(_ path: FilePath, from offset: Int64 = 0) {
    self.path = path
    self.offset = offset
  }

  /// The bytes after the offset, at most `limit`; nil if there is no file. They stay the next ones until ``drop(_:)``.
  mutating func read(_ limit: Int = LiveStatus.Piece.limit) throws -> LiveStatus.Piece? {
    if handle == nil { handle = Handle(path) }
    guard var file = handle else { return nil }
    // Emptied by who writes it: what it has now is all new.
    if file.size < offset { offset = 0 }
    var bytes = try read(file, limit)
    if bytes.isEmpty, let next = Files.status(of: path), next.identity != file.identity, let newer = Handle(path) {
      // Another file has its name, and nothing is left of this one.
      (handle, file, offset) = (newer, newer, 0)
      bytes = try read(file, limit)
    }
    return LiveStatus.Piece(offset: offset, bytes: bytes)
  }

  /// A piece is done with.
  mutating func drop(_ piece: LiveStatus.Piece) { offset = piece.offset + Int64(piece.bytes.count) }

  private func read(_ file: Handle, _ limit: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: Int(min(Int64(limit), max(0, file.size - offset)))) { buffer, count in
      while count < buffer.count {
        let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
        let size = try file.descriptor.read(fromAbsoluteOffset: offset + Int64(count), into: rest)
        if size == 0 { break }
        count += size
      }
    }
  }
}
