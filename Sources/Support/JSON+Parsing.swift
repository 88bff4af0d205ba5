extension JSON {
  /// Reads one JSON text (RFC 8259) that fills `bytes` but for white space around it.
  /// - Throws: ``JSONError`` that names what is wrong and where.
  public init(parsing bytes: some Sequence<UInt8>) throws(JSONError) {
    var reader = JSONReader(Array(bytes))
    self = try reader.readValue()
    try reader.finish()
  }

  /// Reads one JSON text.
  /// - Throws: ``JSONError`` that names what is wrong and where.
  public init(parsing text: String) throws(JSONError) { try self.init(parsing: Array(text.utf8)) }
}

/// Why a text is not JSON.
public struct JSONError: Error, Hashable, CustomStringConvertible {
  /// What was found or missing, in words.
  public var problem: String
  /// Bytes from the beginning of the text.
  public var offset: Int

  /// One line for the log: `unexpected end of the text at byte 12`.
  public var description: String { "\(problem) at byte \(offset)" }
}

/// Walks over JSON text byte by byte: builds values, or only checks and skips them and tells where they stand, for callers
/// that splice a text without rebuilding it.
public struct JSONReader {
  /// How deeply arrays and objects may be nested: a hostile text must not exhaust the stack.
  public static let maximumDepth = 256

  /// The whole text.
  public let bytes: [UInt8]
  /// Where the next byte is read.
  public private(set) var offset = 0
  private var depth = 0

  /// Begins at the first byte.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The first byte of the next value or punctuation, white space skipped; nil at the end.
  public mutating func peek() -> UInt8? {
    while offset < bytes.count {
      switch bytes[offset] {
      case 0x20, 0x09, 0x0a, 0x0d: offset += 1
      case let byte: return byte
      }
    }
    return nil
  }

  /// Checks that only white space is left.
  public mutating func finish() throws(JSONError) {
    if peek() != nil { throw error("unexpected text after the value") }
  }

  /// Reads the next value.
  public mutating func readValue() throws(JSONError) -> JSON {
    guard let first = peek() else { throw error("unexpected end of the text") }
    switch first {
    case UInt8(ascii: "{"):
      var members: [String: JSON] = [:]
      try readObject { (reader, key) throws(JSONError) in members[key] = try reader.readValue() }
      return .object(members)
    case UInt8(ascii: "["):
      var elements: [JSON] = []
      try readArray { (reader) throws(JSONError) in elements.append(try reader.readValue()) }
      return .array(elements)
    case UInt8(ascii: "\""): return .string(try readString())
    case UInt8(ascii: "t"): return .bool(try literal("true", true))
    case UInt8(ascii: "f"): return .bool(try literal("false", false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try readNumber()
    }
  }

  /// Checks the next value, skips it and returns where it stands.
  public mutating func skipValue() throws(JSONError) -> Range<Int> {
    guard let first = peek() else { throw error("unexpected end of the text") }
    let start = offset
    switch first {
    case UInt8(ascii: "{"): try readObject { (reader, _) throws(JSONError) in _ = try reader.skipValue() }
    case UInt8(ascii: "["): try readArray { (reader) throws(JSONError) in _ = try reader.skipValue() }
    case UInt8(ascii: "-"), 0x30...0x39: _ = try skipNumber()
    case UInt8(ascii: "\"") where skipPlainString(): break
    default: _ = try readValue()
    }
    return start..<offset
  }

  /// Reads an object; `member` is called with the reader standing before each member's value and has to read or skip it.
  public mutating func readObject(
    _ member: (inout JSONReader, String) throws(JSONError) -> Void
  ) throws(JSONError) {
    try enter(UInt8(ascii: "{"))
    if peek() != UInt8(ascii: "}") {
      while true {
        guard peek() == UInt8(ascii: "\"") else { throw error("expected a member's name") }
        let key = try readString()
        try take(UInt8(ascii: ":"), "expected ':'")
        try member(&self, key)
        guard peek() == UInt8(ascii: ",") else { break }
        offset += 1
      }
    }
    try take(UInt8(ascii: "}"), "expected ',' or '}'")
    depth -= 1
  }

  /// Reads an array; `element` is called with the reader standing before each element and has to read or skip it.
  public mutating func readArray(_ element: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
    try enter(UInt8(ascii: "["))
    if peek() != UInt8(ascii: "]") {
      while true {
        try element(&self)
        guard peek() == UInt8(ascii: ",") else { break }
        offset += 1
      }
    }
    try take(UInt8(ascii: "]"), "expected ',' or ']'")
    depth -= 1
  }

  /// Reads a string, escapes resolved.
  public mutating func readString() throws(JSONError) -> String {
    _ = peek()
    let start = offset + 1
    if skipPlainString() { return String(decoding: bytes[start..<offset - 1], as: UTF8.self) }
    try take(UInt8(ascii: "\""), "expected a string")
    var content: [UInt8] = []
    while offset < bytes.count {
      let byte = bytes[offset]
      offset += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: content, as: UTF8.self) else { throw error("a string that is not UTF-8") }
        return text
      case UInt8(ascii: "\\"): try readEscape(into: &content)
      case 0..<0x20: throw error("a control character in a string")
      default: content.append(byte)
      }
    }
    throw error("a string without an end")
  }

  /// Skips a string if it is one of ASCII without escapes, as most are.
  private mutating func skipPlainString() -> Bool {
    guard offset < bytes.count, bytes[offset] == UInt8(ascii: "\"") else { return false }
    var end = offset + 1
    while end < bytes.count, (0x20..<0x80).contains(bytes[end]), bytes[end] != UInt8(ascii: "\\") {
      end += 1
      if bytes[end - 1] == UInt8(ascii: "\"") {
        offset = end
        return true
      }
    }
    return false
  }

  private mutating func readEscape(into content: inout [UInt8]) throws(JSONError) {
    guard offset < bytes.count else { throw error("a string without an end") }
    let byte = bytes[offset]
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
    case UInt8(ascii: "b"): content.append(0x08)
    case UInt8(ascii: "f"): content.append(0x0c)
    case UInt8(ascii: "n"): content.append(0x0a)
    case UInt8(ascii: "r"): content.append(0x0d)
    case UInt8(ascii: "t"): content.append(0x09)
    case UInt8(ascii: "u"):
      var code = UInt32(try readHexadecimal())
      if (0xd800..<0xdc00).contains(code), bytes[offset...].starts(with: "\\u".utf8) {
        offset += 2
        let low = UInt32(try readHexadecimal())
        guard (0xdc00..<0xe000).contains(low) else { throw error("half a surrogate pair") }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
      content.append(contentsOf: String(scalar).utf8)
    default: throw error("an unknown escape")
    }
  }

  private mutating func readHexadecimal() throws(JSONError) -> UInt16 {
    let digits = bytes[offset...].prefix(4)
    guard digits.count == 4, digits.allSatisfy({ ($0 as UInt8).isHexadecimalDigit }),
      let value = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw error("an incomplete \\u escape") }
    offset += 4
    return value
  }

  private mutating func readNumber() throws(JSONError) -> JSON {
    let start = offset
    let isInteger = try skipNumber()
    let literal = String(decoding: bytes[start..<offset], as: UTF8.self)
    // `-0` is no integer of ours: it would come back as `0`.
    if isInteger, literal != "-0", let value = Int64(literal) { return .integer(value) }
    return .number(literal)
  }

  /// Whether the number is an integer.
  private mutating func skipNumber() throws(JSONError) -> Bool {
    let start = offset
    func digits(_ reader: inout JSONReader) -> Int {
      let first = reader.offset
      while reader.offset < reader.bytes.count, (0x30...0x39).contains(reader.bytes[reader.offset]) {
        reader.offset += 1
      }
      return reader.offset - first
    }
    var isInteger = true
    if offset < bytes.count, bytes[offset] == UInt8(ascii: "-") { offset += 1 }
    let leading = offset
    let count = digits(&self)
    guard count > 0 else {
      offset = start
      throw error("expected a value")
    }
    if count > 1, bytes[leading] == UInt8(ascii: "0") { throw error("a number with a leading zero") }
    if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") {
      offset += 1
      isInteger = false
      if digits(&self) == 0 { throw error("a number without digits after its point") }
    }
    if offset < bytes.count, bytes[offset] | 0x20 == UInt8(ascii: "e") {
      offset += 1
      isInteger = false
      if offset < bytes.count, bytes[offset] == UInt8(ascii: "+") || bytes[offset] == UInt8(ascii: "-") { offset += 1 }
      if digits(&self) == 0 { throw error("a number without digits in its exponent") }
    }
    return isInteger
  }

  private mutating func literal<Value>(_ word: String, _ value: Value) throws(JSONError) -> Value {
    guard bytes[offset...].starts(with: word.utf8) else { throw error("expected a value") }
    offset += word.utf8.count
    return value
  }

  private mutating func enter(_ bracket: UInt8) throws(JSONError) {
    try take(bracket, "expected '\(Character(Unicode.Scalar(bracket)))'")
    depth += 1
    if depth > JSONReader.maximumDepth { throw error("nesting deeper than \(JSONReader.maximumDepth)") }
  }

  private mutating func take(_ byte: UInt8, _ problem: String) throws(JSONError) {
    guard peek() == byte else { throw error(offset < bytes.count ? problem : "unexpected end of the text") }
    offset += 1
  }

  private func error(_ problem: String) -> JSONError { JSONError(problem: problem, offset: offset) }
}

extension UInt8 {
  fileprivate var isHexadecimalDigit: Bool {
    (0x30...0x39).contains(self) || (0x41...0x46).contains(self) || (0x61...0x66).contains(self)
  }
}
