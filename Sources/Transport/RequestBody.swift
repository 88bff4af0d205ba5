import Support
import SystemPackage

/// A request's body as a sequence of bytes of known length.
struct RequestBody: Sendable {
  /// A part of it that is in one place.
  enum Segment: Sendable {
    case bytes([UInt8])
    /// These bytes of what a source has.
    case source(any BodySource, Range<Int>)

    /// In bytes.
    var length: Int {
      switch self {
      case .bytes(let bytes): bytes.count
      case .source(_, let range): range.count
      }
    }
  }

  /// Sparse files can claim to have almost 2^63 bytes. Nothing that is computed from this many overflows.
  private static let maximumLength = 1 << 60

  /// In the order to send them.
  let segments: [Segment]
  /// The same, if it is short: libcurl sends it together with the headers.
  let short: ShortBody?
  /// The `Content-Type` of the whole.
  let contentType: String
  /// Length in bytes of everything.
  let length: Int

  /// Prepares `body`; `nil` if there is nothing to send. Blocks if it has files.
  /// - Throws: ``TransportError`` with code `file`.
  init?(_ body: HTTPRequest.Body) throws(TransportError) {
    switch body {
    case .none:
      return nil
    case .bytes(let bytes, let contentType):
      segments = [.bytes(bytes)]
      self.contentType = contentType
    case .multipart(let parts):
      let boundary = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 36) }.joined()
      var segments: [Segment] = []
      for part in parts {
        segments.append(.bytes(Array("--\(boundary)\r\n\(part.head)".utf8)))
        switch part.content {
        case .bytes(let bytes): segments.append(.bytes(bytes))
        case .file(let path):
          let file = try SourceFile(path)
          segments.append(.bytes(file.beginning))
          segments.append(.source(file, file.beginning.count..<file.length))
        case .made(let length, let source): segments.append(.source(source, 0..<length))
        }
        segments.append(.bytes([0x0d, 0x0a]))
      }
      segments.append(.bytes(Array("--\(boundary)--\r\n".utf8)))
      self.segments = segments
      contentType = "multipart/form-data; boundary=\(boundary)"
    }
    length = segments.reduce(0) { $0.addingSaturating($1.length) }
    guard length <= RequestBody.maximumLength else {
      throw TransportError(.file, "cannot send \(length) bytes: more than 2^60 can be no file's real size")
    }
    short = ShortBody(segments, length)
  }
}

/// A body in one place in memory, which stays where it is as libcurl wants it to.
final class ShortBody: @unchecked Sendable {
  // Sendable is proven by the initialiser: nobody writes to the bytes afterwards.
  let bytes: UnsafeRawBufferPointer

  /// What libcurl sends in one go.
  private static let maximumLength = 64 << 10

  /// Nil if the body is too long, or not all in memory.
  init?(_ segments: [RequestBody.Segment], _ length: Int) {
    guard length < ShortBody.maximumLength else { return nil }
    var parts: [[UInt8]] = []
    for segment in segments where segment.length > 0 {
      guard case .bytes(let bytes) = segment else { return nil }
      parts.append(bytes)
    }
    // With room for one, since an empty place is none.
    let place = UnsafeMutableRawBufferPointer.allocate(byteCount: length + 1, alignment: 1)
    var rest = place[...]
    for part in parts {
      UnsafeMutableRawBufferPointer(rebasing: rest).copyBytes(from: part)
      rest = rest.dropFirst(part.count)
    }
    bytes = UnsafeRawBufferPointer(rebasing: place[..<length])
  }

  deinit { bytes.deallocate() }
}

extension HTTPRequest.Body {
  /// Whether to prepare it means to touch a file system.
  var hasFiles: Bool {
    guard case .multipart(let parts) = self else { return false }
    return parts.contains { if case .file = $0.content { true } else { false } }
  }
}
