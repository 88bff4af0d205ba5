/// Reads a `multipart/form-data` body part by part, as it arrives.
///
/// ```swift
/// var reader = try MultipartReader(request)
/// while let part = try await reader.nextPart() {
///   while let chunk = try await reader.nextChunk() { … }
/// }
/// ```
public struct MultipartReader {
  private var body: ServerRequestBody.AsyncIterator
  private var parser: MultipartParser
  private var events: [MultipartParser.Event] = []
  private var isInPart = false

  /// Prepares to read the body of `request`.
  /// - Throws: ``RequestError/malformed(_:)`` if its content type is another or names no boundary.
  public init(_ request: ServerRequest) throws {
    let type = HeaderParameters(request.headers["content-type"] ?? "")
    guard type.value == "multipart/form-data", let boundary = type["boundary"], (1...70).contains(boundary.utf8.count)
    else { throw RequestError.malformed("not multipart/form-data with a boundary") }
    body = request.body.makeAsyncIterator()
    parser = MultipartParser(boundary: boundary)
  }

  /// The next part, after skipping what is left of the one before; nil after the last.
  /// - Throws: ``RequestError``, also when the body ends before its closing delimiter.
  public mutating func nextPart() async throws -> FormPart? {
    while let event = try await next() {
      if case .begin(let part) = event {
        isInPart = true
        return part
      }
    }
    return nil
  }

  /// The next bytes of the current part, never empty; nil at its end.
  /// - Throws: ``RequestError``.
  public mutating func nextChunk() async throws -> [UInt8]? {
    guard isInPart, case .data(let bytes) = try await next() else {
      isInPart = false
      return nil
    }
    return bytes
  }

  /// The rest of the current part.
  /// - Throws: ``RequestError/bodyTooLarge(limit:)`` beyond `limit` bytes, and what reading throws.
  public mutating func collect(upTo limit: Int = 1 << 20) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while let chunk = try await nextChunk() {
      bytes += chunk
      if bytes.count > limit { throw RequestError.bodyTooLarge(limit: Int64(limit)) }
    }
    return bytes
  }

  private mutating func next() async throws -> MultipartParser.Event? {
    while events.isEmpty {
      guard let chunk = try await body.next() else {
        guard parser.isComplete else { throw RequestError.malformed("the multipart body has no end") }
        return nil
      }
      // Reversed, to take them from the end.
      events = try parser.feed(chunk).reversed()
    }
    return events.popLast()
  }
}
