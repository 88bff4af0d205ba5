import PNGOptimizer
import TestSupport
import Testing

@Suite("Pixels stay as they are", .timeLimit(.minutes(5)))
struct PixelTests {
  struct Kind: CustomTestStringConvertible {
    var colourType: Int
    var bitDepth: Int
    var testDescription: String { "colour type \(colourType), \(bitDepth) bits" }

    static let all = [0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]].sorted {
      $0.key < $1.key
    }
    .flatMap { type, depths in depths.map { Kind(colourType: type, bitDepth: $0) } }
  }

  @Test("of every kind, size and order", arguments: Kind.all, [false, true])
  func kinds(_ kind: Kind, isInterlaced: Bool) throws {
    let optimizer = ImageOptimizer()
    var generator = SeededGenerator(7)
    var smaller = 0
    for (width, height) in [(1, 1), (3, 9), (33, 21), (130, 45), (17, 210)] {
      for filters in [8, 16, 32, 64, 128, 248] {
        var image = SampleImage.random(
          width, height, colourType: kind.colourType, bitDepth: kind.bitDepth, using: &generator)
        image.isInterlaced = isInterlaced
        image.filters = filters
        let png = try image.png
        let before = try #require(Pixels(png))
        for level in [PNGLevel.fastest, .standard] {
          guard case .smaller(let result) = try optimizer.compress(png, level: level) else { continue }
          smaller += 1
          #expect(result.count < png.count)
          #expect(before.looksLike(Pixels(result)))
          // What has been optimised is taken, too.
          if case .smaller(let again) = try optimizer.compress(result, level: .small) {
            #expect(before.looksLike(Pixels(again)))
          }
        }
      }
    }
    #expect(smaller > 10)
  }

  @Test("of 1 to 257 colours, which take as few bits as will do", arguments: [1, 2, 3, 4, 5, 16, 17, 255, 256, 257])
  func palettes(count: Int) throws {
    var generator = SeededGenerator(UInt64(count))
    let colours = (0..<count).map { [UInt8($0 & 255), generator.byte() | 1, UInt8($0 >> 8)] }
    let image = SampleImage.rgb(211, 97) { x, y in colours[(x / 7 + 31 * y) % count] }
    let after = try pixels(of: optimized(image.png), like: image.png)
    #expect(after.colourType == (count > 256 ? 2 : 3))
    #expect(after.bitDepth == (count > 16 ? 8 : count > 4 ? 4 : count > 2 ? 2 : 1))
  }

  @Test(
    "of shades of gray",
    arguments: [
      ([0, 255], 0, 1), ([255], 0, 1), ([0, 85, 255], 0, 2), ([0, 17, 34, 51, 255], 0, 4), (Array(0..<200), 0, 8),
      // Fewer bits with a palette.
      ([17, 34], 3, 1), ([1, 2, 3], 3, 2), ([0, 17, 255], 3, 2),
    ] as [([UInt8], UInt8, UInt8)])
  func gray(shades: [UInt8], colourType: UInt8, bitDepth: UInt8) throws {
    let image = SampleImage.rgb(150, 90) { x, y in [UInt8](repeating: shades[(x / 3 + 7 * y) % shades.count], count: 3)
    }
    let after = try pixels(of: optimized(image.png), like: image.png)
    #expect(after.colourType == colourType && after.bitDepth == bitDepth)
  }

  @Test("of thumbnails")
  func thumbnails() throws {
    let image = SampleImage.rgb(60, 45) { x, y in [UInt8(4 * x), UInt8(5 * y), UInt8(x * y / 11)] }
    #expect(try pixels(of: optimized(image.png), like: image.png).colourType == 2)
  }

  @Test("of screens: text on plain ground, and a picture")
  func screens() throws {
    let text = SampleImage.rgb(640, 240) { x, y in
      y % 16 < 10 && (x * 7 + y * 3) % 11 < 4 ? [220, UInt8(x % 200), 220] : [16, UInt8(y), 32]
    }
    var generator = SeededGenerator(3)
    let picture = SampleImage.rgb(320, 240) { x, y in
      [UInt8(x / 2) + generator.byte() % 4, UInt8(y) | generator.byte() & 3, UInt8((x + y) / 3)]
    }
    for image in [text, picture] {
      for level in PNGLevel.allCases { _ = try pixels(of: optimized(image.png, level), like: image.png) }
    }
  }
}

/// The smaller file, which there has to be.
func optimized(_ png: [UInt8], _ level: PNGLevel = .standard) throws -> [UInt8] {
  guard case .smaller(let result) = try ImageOptimizer().compress(png, level: level) else { throw NotSmaller() }
  return result
}

struct NotSmaller: Error {}

/// What is in a file, which has to look like another.
func pixels(of png: [UInt8], like original: [UInt8]) throws -> Pixels {
  let after = try #require(Pixels(png))
  #expect(try #require(Pixels(original)).looksLike(after))
  return after
}
