/// A chunk of a PNG.
struct Chunk: Hashable {
  var type: String
  var data: [UInt8]

  init(_ type: String, _ data: [UInt8] = []) {
    self.type = type
    self.data = data
  }

  var bytes: [UInt8] {
    let body = Array(type.utf8) + data
    return Chunk.number(UInt32(data.count)) + body + Chunk.number(Chunk.checksum(body))
  }

  /// The chunks of a file that is sound.
  static func all(in png: [UInt8]) -> [Chunk] {
    var chunks: [Chunk] = []
    var rest = png.dropFirst(8)
    while rest.count >= 12 {
      let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
      rest = rest.dropFirst(4)
      chunks.append(Chunk(String(decoding: rest.prefix(4), as: UTF8.self), Array(rest.dropFirst(4).prefix(length))))
      rest = rest.dropFirst(8 + length)
    }
    return chunks
  }

  static func file(_ chunks: [Chunk]) -> [UInt8] {
    [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] + chunks.flatMap(\.bytes)
  }

  /// A header of 13 bytes.
  static func header(
    _ width: UInt32, _ height: UInt32, depth: UInt8 = 8, colourType: UInt8 = 2, methods: [UInt8] = [0, 0, 0]
  ) -> Chunk {
    Chunk("IHDR", number(width) + number(height) + [depth, colourType] + methods)
  }

  static func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

  /// CRC-32.
  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(UInt32.max) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc & 1 == 1 ? 0xedb8_8320 ^ crc >> 1 : crc >> 1 }
    }
  }

  /// The data of an IDAT chunk, not compressed.
  static func stored(_ rows: [UInt8], checksum: UInt32? = nil) -> [UInt8] {
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in rows {
      a = (a + UInt32(byte)) % 65521
      b = (b + a) % 65521
    }
    let size = UInt16(rows.count)
    let sizes = [size, ~size].flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    return [0x78, 0x01, 0x01] + sizes + rows + number(checksum ?? b << 16 | a)
  }
}
