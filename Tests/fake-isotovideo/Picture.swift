import Support

/// PNG files that are valid, made in no time, and different for different seeds: vertical stripes of the seed's colours,
/// above them as many rows of noise as the file is to be large.
enum Picture {
  /// An RGB picture of 8 bits a channel.
  /// - Parameters:
  ///   - noise: about how many bytes of the file hold noise.
  static func png(width: Int, height: Int, noise: Int = 0, seed: String) -> [UInt8] {
    var random = SplitMix(seed: Digest.md5(seed.utf8))
    let rowLength = width * 3
    let noisyRows = min(height - 1, noise / rowLength)
    var stream = ZlibWriter()
    for _ in 0..<noisyRows {
      stream.literal(0)
      for _ in 0..<rowLength { stream.literal(UInt8(truncatingIfNeeded: random.next() >> 32)) }
    }
    let colours = (0..<16).map { _ in (0..<3).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) } }
    stream.literal(0)
    for column in 0..<width { for byte in colours[column * 16 / width] { stream.literal(byte) } }
    // Filter 2: equal to the row above.
    for _ in (noisyRows + 1)..<height {
      stream.literal(2)
      stream.zeros(rowLength)
    }
    var png: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 13, 10, 26, 10]
    append("IHDR", bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [8, 2, 0, 0, 0], to: &png)
    append("IDAT", stream.finish(), to: &png)
    append("IEND", [], to: &png)
    return png
  }

  private static func append(_ type: String, _ content: [UInt8], to png: inout [UInt8]) {
    let body = Array(type.utf8) + content
    png += bigEndian(UInt32(content.count)) + body + bigEndian(crc(body))
  }

  private static let crcTable: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
  }

  private static func crc(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~0) { crcTable[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ ($0 >> 8) }
  }
}

func bigEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

/// Writes a zlib stream of one block with the fixed Huffman code: literals, and runs of zeros.
struct ZlibWriter {
  private var output: [UInt8] = [0x78, 0x01]
  private var bits: UInt64 = 0
  private var bitCount = 0
  // Adler-32 of what the stream unpacks to.
  private var sumA: UInt64 = 1
  private var sumB: UInt64 = 0

  init() { put(0b011, 3) }

  /// Appends one byte.
  mutating func literal(_ byte: UInt8) {
    sumA = (sumA + UInt64(byte)) % 65521
    sumB = (sumB + sumA) % 65521
    if byte < 144 { putCode(0x30 + UInt64(byte), 8) } else { putCode(0x190 + UInt64(byte - 144), 9) }
  }

  /// Appends `count` zeros.
  mutating func zeros(_ count: Int) {
    guard count > 0 else { return }
    literal(0)
    var left = count - 1
    sumB = (sumB + UInt64(left) * sumA) % 65521
    // Matches at distance 1: symbol 285 is of length 258, 284 of 227 and its 5 extra bits, 257...264 of 3...10.
    while left >= 3 {
      switch left {
      case 258...: putCode(0xC5, 8)
      case 227...:
        putCode(0xC4, 8)
        put(UInt64(left - 227), 5)
      default: putCode(UInt64(min(left, 10) - 2), 7)
      }
      putCode(0, 5)
      left -= left >= 258 ? 258 : left >= 227 ? left : min(left, 10)
    }
    for _ in 0..<left { putCode(0x30, 8) }
  }

  /// Ends the stream and returns it.
  mutating func finish() -> [UInt8] {
    putCode(0, 7)
    if bitCount > 0 { put(0, 8 - bitCount % 8) }
    output += bigEndian(UInt32(sumB << 16 | sumA))
    return output
  }

  /// Huffman codes are sent from their highest bit.
  private mutating func putCode(_ code: UInt64, _ length: Int) {
    var reversed: UInt64 = 0
    for bit in 0..<length where code & (1 << bit) != 0 { reversed |= 1 << (length - 1 - bit) }
    put(reversed, length)
  }

  private mutating func put(_ value: UInt64, _ length: Int) {
    bits |= value << bitCount
    bitCount += length
    while bitCount >= 8 {
      output.append(UInt8(truncatingIfNeeded: bits))
      bits >>= 8
      bitCount -= 8
    }
  }
}

/// A small generator of repeatable noise.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64

  init(seed: [UInt8]) { state = seed.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
