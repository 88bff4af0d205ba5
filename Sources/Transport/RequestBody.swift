import Glibc
import SystemPackage

/// A request's body as one stream of bytes of known length. Belongs to its transfer's thread.
final class RequestBody {
  private enum Segment {
    case bytes([UInt8])
    case file(FileContent)

    var length: Int {
      switch self {
      case .bytes(let bytes): bytes.count
      case .file(let file): file.length
      }
    }
  }

  /// Length in bytes of everything.
  let length: Int
  /// The `Content-Type` of the whole.
  let contentType: String?
  private let segments: [Segment]
  private var segment = 0
  private var offset = 0

  /// Prepares `body`, which takes the sizes of its files; `nil` if there is nothing to send.
  /// - Throws: ``TransportError`` with code `file`.
  init?(_ body: HTTPRequest.Body) throws(TransportError) {
    switch body {
    case .none:
      return nil
    case .bytes(let bytes, let contentType):
      segments = [.bytes(bytes)]
      self.contentType = contentType
    case .multipart(let parts):
      let boundary = (0..<4).map { _ in String(UInt32.random(in: .min ... .max), radix: 36) }.joined()
      var segments: [Segment] = []
      for part in parts {
        segments.append(.bytes(Array("--\(boundary)\r\n\(part.head)".utf8)))
        switch part.content {
        case .bytes(let bytes): segments.append(.bytes(bytes))
        case .file(let path): segments.append(.file(try FileContent(path)))
        }
        segments.append(.bytes([0x0d, 0x0a]))
      }
      segments.append(.bytes(Array("--\(boundary)--\r\n".utf8)))
      self.segments = segments
      contentType = "multipart/form-data; boundary=\(boundary)"
    }
    length = segments.reduce(0) { $0 + $1.length }
  }

  /// Copies the next bytes into `buffer` and returns their number; 0 at the end.
  /// - Throws: ``TransportError`` with code `file`.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(TransportError) -> Int {
    while segment < segments.count {
      let left = segments[segment].length - offset
      if left == 0 {
        segment += 1
        offset = 0
        continue
      }
      let count = min(left, buffer.count)
      let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
      switch segments[segment] {
      case .bytes(let bytes):
        bytes.withUnsafeBytes { target.copyMemory(from: .init(rebasing: $0[offset..<offset + count])) }
        offset += count
        return count
      case .file(let file):
        let count = try file.read(at: offset, into: target)
        offset += count
        return count
      }
    }
    return 0
  }

  /// Goes back to byte `position`, for a request that libcurl sends again on another connection.
  func seek(to position: Int) {
    segment = 0
    offset = position
    while segment < segments.count, offset >= segments[segment].length, offset > 0 {
      offset -= segments[segment].length
      segment += 1
    }
  }
}

/// An open file whose size is fixed.
private final class FileContent {
  let length: Int
  private let path: FilePath
  private let descriptor: FileDescriptor

  init(_ path: FilePath) throws(TransportError) {
    self.path = path
    do {
      // Without O_NONBLOCK a named pipe would hang the thread.
      descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
    } catch {
      throw Self.failure(path, error)
    }
    var status = stat()
    guard fstat(descriptor.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      try? descriptor.close()
      throw TransportError(.file, "cannot send \(path): not a regular file")
    }
    length = Int(status.st_size)
  }

  deinit { try? descriptor.close() }

  func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(TransportError) -> Int {
    let count: Int
    do {
      count = try descriptor.read(fromAbsoluteOffset: Int64(offset), into: buffer)
    } catch {
      throw Self.failure(path, error)
    }
    guard count > 0 else {
      throw TransportError(.file, "cannot send \(path): it shrank from \(length) to \(offset) bytes while it was sent")
    }
    return count
  }

  private static func failure(_ path: FilePath, _ error: any Error) -> TransportError {
    TransportError(.file, "cannot read \(path): \(error)")
  }
}
