import PNGOptimizer
import TestSupport
import Testing

@Suite("Bad images", .timeLimit(.minutes(5)))
struct DefectTests {
  /// Rows of a gray image of 4 × 3 pixels.
  private static let rows: [UInt8] = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 5]
  /// Of an RGB one of 2 × 1.
  private static let row: [UInt8] = [0, 1, 2, 3, 4, 5, 6]
  private static let gray = Chunk.header(4, 3, colourType: 0), rgb = Chunk.header(2, 1), end = Chunk("IEND")

  struct Case: CustomTestStringConvertible {
    var name: String
    var file: [UInt8]
    var defect: PNGDefect
    var testDescription: String { name }

    init(_ name: String, _ file: [UInt8], _ defect: PNGDefect) {
      self.name = name
      self.file = file
      self.defect = defect
    }

    init(_ name: String, _ chunks: [Chunk], _ defect: PNGDefect) { self.init(name, Chunk.file(chunks), defect) }
  }

  private static func data(_ rows: [UInt8]) -> Chunk { Chunk("IDAT", Chunk.stored(rows)) }
  private static let sound = Chunk.file([rgb, data(row), end])
  private static func changed(_ offset: Int) -> [UInt8] {
    var file = sound
    file[offset] ^= 1
    return file
  }

  static let cases = [
    Case("nothing", [UInt8](), .truncated),
    Case("text", Array("not a png\n".utf8), .notPNG),
    Case("a signature", Array(sound.prefix(8)), .truncated),
    Case("no end", [rgb, data(row)], .truncated),
    Case(
      "a chunk longer than a file", Array(sound.prefix(33)) + Chunk.number(1 << 20) + Array("IDAT".utf8), .truncated),
    Case(
      "a chunk longer than can be", Array(sound.prefix(33)) + Chunk.number(1 << 31) + Array("IDAT1234".utf8),
      .badChunk("IDAT")),
    Case("a chunk without a name", Array(sound.prefix(33)) + Chunk("ID\0T").bytes, .badChunk("IHDR")),
    Case("a changed header", changed(20), .badChecksum(chunk: "IHDR")),
    Case("changed data", changed(33 + 20), .badChecksum(chunk: "IDAT")),
    Case("no header", [data(row), end], .badChunk("IDAT")),
    Case("two headers", [rgb, rgb, data(row), end], .badChunk("IHDR")),
    Case("a short header", [Chunk("IHDR", [0, 0, 0, 1]), data(row), end], .badChunk("IHDR")),
    Case("no pixels", [Chunk.header(0, 1), data(row), end], .badHeader),
    Case("3 bits", [Chunk.header(2, 1, depth: 3, colourType: 0), data(row), end], .badHeader),
    Case("colours at 4 bits", [Chunk.header(2, 1, depth: 4), data(row), end], .badHeader),
    Case("an unknown colour type", [Chunk.header(2, 1, colourType: 5), data(row), end], .badHeader),
    Case("an unknown compression", [Chunk.header(2, 1, methods: [1, 0, 0]), data(row), end], .badHeader),
    Case("an unknown order", [Chunk.header(2, 1, methods: [0, 0, 2]), data(row), end], .badHeader),
    Case("no data", [rgb, end], .badChunk("IEND")),
    Case("data in two places", [rgb, data(row), Chunk("tEXt", [65, 0]), data(row), end], .badChunk("IDAT")),
    Case("an end with content", [rgb, data(row), Chunk("IEND", [0])], .badChunk("IEND")),
    Case("no palette", [Chunk.header(2, 1, colourType: 3), data([0, 0, 0]), end], .badChunk("IDAT")),
    Case("a palette of gray", [gray, Chunk("PLTE", [1, 2, 3]), data(rows), end], .badChunk("PLTE")),
    Case("a palette behind the data", [rgb, data(row), Chunk("PLTE", [1, 2, 3]), end], .badChunk("PLTE")),
    Case("a palette of half a colour", [rgb, Chunk("PLTE", [1, 2]), data(row), end], .badChunk("PLTE")),
    Case("something behind the end", sound + [0], .trailingBytes),
    Case("no compressed data", [rgb, Chunk("IDAT", [1, 2, 3, 4, 5, 6, 7, 8]), end], .badData("")),
    Case("empty data", [rgb, Chunk("IDAT"), end], .badData("")),
    Case("a wrong Adler-32", [rgb, Chunk("IDAT", Chunk.stored(row, checksum: 1)), end], .badDataChecksum),
    Case("too little data", [rgb, data(Array(row.dropLast())), end], .tooLittleData),
    Case("too much data", [rgb, data(row + [0]), end], .tooMuchData),
    Case("bytes behind the data", [rgb, Chunk("IDAT", Chunk.stored(row) + [0]), end], .tooMuchData),
    Case("an unknown filter", [rgb, data([5] + row.dropFirst()), end], .badFilter),
    Case(
      "gray with an unknown filter", [gray, data([9] + rows.dropFirst()), end], .badData("bad adaptive filter value")),
    Case("gray with too little data", [gray, data(Array(rows.dropLast())), end], .badData("Not enough image data")),
    Case("a bomb", [Chunk.header(60000, 60000), data(row), end], .tooLarge),
    Case("a bomb that overflows", [Chunk.header(UInt32.max, UInt32.max), data(row), end], .tooLarge),
    Case("8000 × 8000 pixels in few bytes", [Chunk.header(8000, 8000), data(row), end], .tooLittleData),
    Case("8000 × 8000 shades in few bytes", [Chunk.header(8000, 8000, colourType: 0), data(row), end], .tooLittleData),
  ]

  @Test("are named for what is wrong", arguments: cases)
  func defects(_ wrong: Case) throws {
    #expect(throws: wrong.defect) { try ImageOptimizer().compress(wrong.file, level: .fast) }
    #expect(!"\(wrong.defect)".isEmpty)
  }

  /// Images of each way through the optimiser.
  private static var samples: [[UInt8]] {
    get throws {
      var generator = SeededGenerator(5)
      let kinds = [(2, 8, false), (2, 8, true), (0, 2, false), (3, 8, true), (6, 16, false)]
      return try kinds.map { type, depth, isInterlaced in
        var image = SampleImage.random(9, 12, colourType: type, bitDepth: depth, using: &generator)
        image.isInterlaced = isInterlaced
        image.filters = 248
        return try image.png
      }
    }
  }

  @Test("cut off after any byte")
  func truncated() throws {
    let optimizer = ImageOptimizer()
    for png in try Self.samples {
      for size in png.indices {
        #expect(throws: PNGDefect.truncated) { try optimizer.compress(Array(png.prefix(size)), level: .fastest) }
      }
    }
  }

  @Test("flipped bits: seen, or the pixels that libpng sees are kept", arguments: [false, true])
  func flips(checksumsAreMended: Bool) throws {
    let optimizer = ImageOptimizer()
    var generator = SeededGenerator(11)
    var (refused, smaller) = (0, 0)
    for png in try Self.samples {
      for _ in 0..<500 {
        var chunks = Chunk.all(in: png), file = png
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
          let bit = UInt8(1) << Int.random(in: 0...7, using: &generator)
          if checksumsAreMended {
            let index = Int.random(in: 0..<chunks.count - 1, using: &generator)
            chunks[index].data[Int.random(in: chunks[index].data.indices, using: &generator)] ^= bit
            file = Chunk.file(chunks)
          } else {
            file[Int.random(in: file.indices, using: &generator)] ^= bit
          }
        }
        do {
          guard case .smaller(let result) = try optimizer.compress(file, level: .fastest) else { continue }
          smaller += 1
          #expect(Pixels(file)?.looksLike(Pixels(result)) == true)
        } catch {
          refused += 1
        }
      }
    }
    #expect(refused > 1500)
    if checksumsAreMended { #expect(smaller > 0) }
  }
}
