/// Push parser for `multipart/form-data` (RFC 7578): any cut of the input, memory for one header and one delimiter.
struct MultipartParser {
  enum Event: Equatable {
    case begin(FormPart)
    case data([UInt8])
    case end
  }

  private enum State { case preamble, afterDelimiter, header, content, epilogue }

  private static let headerLimit = 16 << 10
  private static let lineEnd: [UInt8] = [13, 10]

  private let delimiter: [UInt8]
  private var state = State.preamble
  /// Not yet understood; begins as a line end, for the first delimiter may be the first line.
  private var pending: [UInt8] = lineEnd

  init(boundary: String) { delimiter = Self.lineEnd + Array("--\(boundary)".utf8) }

  /// The closing delimiter was seen; what follows is ignored.
  var isComplete: Bool { state == .epilogue }

  /// Takes the next bytes of the body and returns what they complete.
  /// - Throws: ``RequestError/malformed(_:)``.
  mutating func feed(_ bytes: some Sequence<UInt8>) throws -> [Event] {
    pending += bytes
    var events: [Event] = []
    var index = 0
    while let next = try step(from: index, &events) { index = next }
    pending.removeFirst(min(index, pending.count))
    return events
  }

  /// - Returns: where to go on; nil when more input is needed, and what is pending from `index` on must be kept.
  private mutating func step(from index: Int, _ events: inout [Event]) throws -> Int? {
    switch state {
    case .preamble, .content:
      if let start = pending.firstIndex(of: delimiter, from: index) {
        if state == .content {
          if start > index { events.append(.data(Array(pending[index..<start]))) }
          events.append(.end)
        }
        state = .afterDelimiter
        return start + delimiter.count
      }
      // Keep back only what may be the start of a delimiter.
      var safe = max(index, pending.count - delimiter.count + 1)
      while safe < pending.count, !delimiter.starts(with: pending[safe...]) { safe += 1 }
      guard safe > index else { return nil }
      if state == .content { events.append(.data(Array(pending[index..<safe]))) }
      return safe
    case .afterDelimiter:
      guard pending.count - index >= 2 else { return nil }
      if pending[index] == UInt8(ascii: "-"), pending[index + 1] == UInt8(ascii: "-") {
        state = .epilogue
        return pending.count
      }
      guard let start = pending[index...].firstIndex(where: { $0 != 32 && $0 != 9 }), pending.count - start >= 2 else {
        guard pending.count - index <= Self.headerLimit else { throw RequestError.headersTooLarge }
        return nil
      }
      guard pending[start...].starts(with: Self.lineEnd) else { throw RequestError.malformed("multipart delimiter") }
      // The line end stays: an empty header is two of them.
      state = .header
      return start
    case .header:
      guard let end = pending.firstIndex(of: Self.lineEnd + Self.lineEnd, from: index) else {
        guard pending.count - index <= Self.headerLimit else { throw RequestError.headersTooLarge }
        return nil
      }
      guard end - index <= Self.headerLimit else { throw RequestError.headersTooLarge }
      events.append(.begin(try FormPart(header: pending[index..<end])))
      state = .content
      return end + 4
    case .epilogue:
      return index < pending.count ? pending.count : nil
    }
  }
}

extension [UInt8] {
  /// The first place of `needle` at or after `start`.
  func firstIndex(of needle: [UInt8], from start: Int) -> Int? {
    guard let first = needle.first else { return start }
    var index = start
    while count - index >= needle.count {
      guard let candidate = self[index...].firstIndex(of: first), count - candidate >= needle.count else { return nil }
      if self[candidate...].starts(with: needle) { return candidate }
      index = candidate + 1
    }
    return nil
  }
}
