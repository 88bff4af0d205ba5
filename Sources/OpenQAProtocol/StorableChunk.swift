import FoundationEssentials
import Support

/// A piece of an asset on its way to the web UI (protocol §8).
package struct StorableChunk: Sendable, Hashable {
  /// From 1.
  package var index: Int64
  /// How many chunks the asset has.
  package var total: Int64
  /// Where in the asset the content begins, in bytes.
  package var start: Int64
  /// The SHA-1 sum of the content as it is sent.
  package var checksum: String
  /// The SHA-256 sum of the whole asset as it is sent.
  package var totalChecksum: String
  package var content: [UInt8]
  /// Where the sender has the asset.
  package var file: String

  /// - Parameter totalDigest: the raw SHA-256 sum of the whole asset.
  package init(index: Int64, total: Int64, start: Int64, totalDigest: [UInt8], content: [UInt8], file: String) {
    self.index = index
    self.total = total
    self.start = start
    checksum = StorableChunk.text(of: Digest.sha1(content))
    totalChecksum = StorableChunk.text(of: totalDigest)
    self.content = content
    self.file = file
  }

  /// Where in the asset the content ends.
  package var end: Int64 { start + Int64(content.count) }
  /// Whether the asset ends with it.
  package var isLast: Bool { index == total }
  /// Whether the content is what its sum says.
  package var isIntact: Bool { checksum == StorableChunk.text(of: Digest.sha1(content)) }

  /// A digest as chunks have it: base64 without padding.
  package static func text(of digest: [UInt8]) -> String {
    String(Data(digest).base64EncodedString().prefix { $0 != "=" })
  }

  /// The chunk as it is sent, about twice as large as its content, which has to be smaller than 1 GiB.
  package var image: [UInt8] {
    let frame = Frame(
      index: index, total: total, content: start..<end, totalChecksum: totalChecksum, file: file)
    return frame.head + Hexadecimal.digits(of: content) + frame.tail(checksum: checksum)
  }

  /// Reads a chunk that was sent.
  /// - Throws: ``ProtocolError`` for an image that is no chunk, or one of impossible numbers.
  package init(image: [UInt8]) throws(ProtocolError) {
    let hash = try Storable(image: image)
    func number(_ key: String, _ range: ClosedRange<Int64>) throws(ProtocolError) -> Int64 {
      guard let number = hash[key]?.integer, range.contains(number) else {
        throw ProtocolError("chunk: \(key) is missing or impossible")
      }
      return number
    }
    func text(_ key: String) throws(ProtocolError) -> String {
      guard let bytes = hash[key]?.bytes else { throw ProtocolError("chunk: \(key) is missing") }
      return String(decoding: bytes, as: UTF8.self)
    }
    total = try number("total", 1...Int64.max)
    index = try number("index", 1...total)
    start = try number("start", 0...Int64.max)
    checksum = try text("cksum")
    totalChecksum = try text("total_cksum")
    file = try text("file")
    guard let content = hash["content"]?.bytes.flatMap(Hexadecimal.bytes) else {
      throw ProtocolError("chunk: content is missing or not hexadecimal")
    }
    self.content = content
    guard try number("end", start...Int64.max) - start == Int64(content.count) else {
      throw ProtocolError("chunk: the content has \(content.count) bytes, not those from start to end")
    }
  }
}

extension StorableChunk {
  /// What a chunk's image has around the digits of its content, for one that is made while it is sent. The content's sum, known
  /// only then, stands behind it: the pairs of a hash may have any order.
  package struct Frame: Sendable {
    /// What comes first.
    package let head: [UInt8]
    /// Bytes of the digits.
    package let digitCount: Int

    /// - Parameter content: where in the asset the chunk's content is.
    package init(index: Int64, total: Int64, content: Range<Int64>, totalChecksum: String, file: String) {
      let pairs: [Storable.Pair] = [
        .init("index", .integer(index)), .init("total", .integer(total)), .init("start", .integer(content.lowerBound)),
        .init("end", .integer(content.upperBound)), .init("total_cksum", .text(totalChecksum)),
        .init("file", .text(file)),
      ]
      digitCount = 2 * content.count
      var head = Storable.header
      Storable.beginHash(pairs.count + 2, in: &head)
      for pair in pairs { pair.write(to: &head) }
      Storable.beginBytes(digitCount, in: &head)
      self.head = head
    }

    /// What comes last, as long for each SHA-1 sum.
    package func tail(checksum: String) -> [UInt8] {
      var tail: [UInt8] = []
      Storable.write(key: "content", to: &tail)
      Storable.Pair("cksum", .text(checksum)).write(to: &tail)
      return tail
    }
  }
}

/// Hexadecimal digits of contents that are megabytes long, for which a `String` would be too slow.
package enum Hexadecimal {
  /// Two lower-case digits for each byte.
  package static func digits(of bytes: [UInt8]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 2 * bytes.count) { output, count in
      bytes.withUnsafeBytes { write($0, to: UnsafeMutableRawBufferPointer(output)) }
      count = 2 * bytes.count
    }
  }

  /// Four bytes at a time, since a program that is built for size does not have it done by the compiler.
  private static func write(_ bytes: UnsafeRawBufferPointer, to digits: UnsafeMutableRawBufferPointer) {
    let whole = bytes.count & ~3
    for place in stride(from: 0, to: whole, by: 4) {
      let four = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))
      digits.storeBytes(of: Hexadecimal.digits(of: four).littleEndian, toByteOffset: 2 * place, as: UInt64.self)
    }
    for place in whole..<bytes.count {
      let pair = UInt16(truncatingIfNeeded: Hexadecimal.digits(of: UInt32(bytes[place])))
      digits.storeBytes(of: pair.littleEndian, toByteOffset: 2 * place, as: UInt16.self)
    }
  }

  /// The digits of the lowest byte lowest, the upper half of each first.
  private static func digits(of four: UInt32) -> UInt64 {
    var halves = UInt64(four)
    halves = (halves | halves << 16) & 0x0000_ffff_0000_ffff
    halves = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff
    halves = halves >> 4 & 0x000f_000f_000f_000f | (halves & 0x000f_000f_000f_000f) << 8
    // 10 to 15 are letters, which come 0x27 later than the characters after 9.
    let letters = (halves &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
    return halves &+ 0x3030_3030_3030_3030 &+ letters &* 0x27
  }

  /// What the digits stand for; nil unless they are pairs of digits.
  static func bytes(_ digits: [UInt8]) -> [UInt8]? {
    guard digits.count.isMultiple(of: 2) else { return nil }
    var isSound = true
    let bytes = [UInt8](unsafeUninitializedCapacity: digits.count / 2) { output, count in
      for place in 0..<digits.count / 2 {
        let (high, low) = (value(of: digits[2 * place]), value(of: digits[2 * place + 1]))
        if (high | low) > 15 { isSound = false }
        output[place] = high << 4 | low & 15
      }
      count = digits.count / 2
    }
    return isSound ? bytes : nil
  }

  /// 0 to 15; 255 for what is no digit.
  private static func value(of digit: UInt8) -> UInt8 {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x37
    case 0x61...0x66: digit - 0x57
    default: 255
    }
  }
}
