import PNGOptimizer
import TestSupport
import Testing

@Suite("Chunks", .timeLimit(.minutes(2)))
struct ChunkTests {
  /// Four colours.
  private static let image = SampleImage.rgb(150, 90) { x, y in [UInt8((x / 3 + 7 * y) % 4), 40, 50] }
  private static let gray = SampleImage.rgb(150, 90) { x, y in
    [UInt8](repeating: UInt8((x / 3 + 7 * y) % 9 * 17), count: 3)
  }

  private static let resolution = Chunk("pHYs", Chunk.number(2834) + Chunk.number(2834) + [1])
  private static let gamma = Chunk("gAMA", Chunk.number(45455))
  private static let sRGB = Chunk("sRGB", [0])
  private static let text = Chunk("tEXt", Array("Comment\0a needle".utf8))
  private static let profile = Chunk("iCCP", Array("a profile\0\0".utf8) + [1, 2, 3])

  /// A file with more chunks, before and behind its data.
  private static func file(
    _ image: SampleImage, before: [Chunk] = [], behind: [Chunk] = []
  ) throws -> [UInt8] {
    var chunks = Chunk.all(in: try image.png)
    let first = try #require(chunks.firstIndex { $0.type == "IDAT" })
    chunks.insert(contentsOf: before, at: first)
    chunks.insert(contentsOf: behind, at: chunks.count - 1)
    return Chunk.file(chunks)
  }

  @Test("resolution, gamma, colour space, profile and text are kept, in their order")
  func kept() throws {
    let before = [Self.gamma, Self.sRGB, Self.resolution, Self.text],
      behind = [Chunk("tIME", [7, 234, 1, 2, 3, 4, 5]), Self.text]
    let png = try Self.file(Self.image, before: before, behind: behind)
    let result = try optimized(png)
    _ = try pixels(of: result, like: png)
    let chunks = Chunk.all(in: result)
    #expect(chunks.map(\.type) == ["IHDR"] + before.map(\.type) + ["PLTE", "IDAT"] + behind.map(\.type) + ["IEND"])
    #expect(Array(chunks[1...4]) == before && Array(chunks[7...8]) == behind)
  }

  @Test("a profile of colours is not put on gray, nor one of gray on colours")
  func profiles() throws {
    let colour = try Self.file(Self.gray, before: [Self.profile])
    let withPalette = try pixels(of: optimized(colour), like: colour)
    #expect(withPalette.colourType == 3)
    var image = Self.gray
    image.colourType = 0
    image.rows = stride(from: 0, to: image.rows.count, by: 3).map { image.rows[$0] }
    let gray = try Self.file(image, before: [Self.profile])
    let stillGray = try pixels(of: optimized(gray), like: gray)
    #expect(stillGray.colourType == 0 && stillGray.bitDepth == 4)
  }

  @Test(
    "chunks that refer to stored colours: those stay",
    arguments: [
      Chunk("tRNS", [0, 1, 0, 40, 0, 50]), Chunk("bKGD", [0, 1, 0, 40, 0, 50]), Chunk("sBIT", [8, 8, 8]),
      Chunk("acTL", [0, 0, 0, 1, 0, 0, 0, 0]),
    ])
  func noReduction(chunk: Chunk) throws {
    let png = try Self.file(Self.image, before: [chunk])
    let result = try optimized(png)
    let after = try pixels(of: result, like: png)
    #expect(after.colourType == 2 && after.bitDepth == 8)
    #expect(Chunk.all(in: result).contains(chunk))
  }

  @Test("a palette with transparency, background and histogram stays", arguments: [false, true])
  func palette(isInterlaced: Bool) throws {
    var image = SampleImage(width: 150, height: 90, colourType: 3, isInterlaced: isInterlaced)
    image.filters = 8
    image.palette = (0..<200 * 3).map { UInt8($0 % 256) }
    var generator = SeededGenerator(2)
    image.rows = (0..<150 * 90).map { _ in generator.byte() % 5 }
    let more = [Chunk("bKGD", [3]), Chunk("hIST", [UInt8](repeating: 1, count: 400)), Chunk("tRNS", [0, 128, 255])]
    let png = try Self.file(image, before: more)
    let result = try optimized(png)
    let after = try pixels(of: result, like: png)
    #expect(after.colourType == 3 && after.bitDepth == 8 && !after.isInterlaced)
    #expect(
      Chunk.all(in: result).filter { $0.type != "IDAT" }.dropFirst()
        == Chunk.all(in: png).filter { $0.type != "IDAT" }.dropFirst())
    // Without them, nothing is in the way.
    let reduced = try pixels(of: optimized(image.png), like: image.png)
    #expect(reduced.colourType == 3 && reduced.bitDepth == 4)
  }

  @Test("a suggested palette goes with the colours that it is for")
  func suggestedPalette() throws {
    let suggested = Chunk("PLTE", [1, 2, 3])
    let few = try Self.file(Self.image, before: [suggested])
    #expect(try Chunk.all(in: optimized(few)).filter { $0.type == "PLTE" }.map(\.data.count) == [12])
    let many = SampleImage.rgb(150, 90) { x, y in [UInt8(x), UInt8(y), UInt8(x * x / 100)] }
    #expect(try Chunk.all(in: optimized(Self.file(many, before: [suggested]))).contains(suggested))
  }

  @Test("animations: frames stay, the first is compressed; interlaced ones are left alone")
  func animations() throws {
    let control = Chunk("acTL", [0, 0, 0, 2, 0, 0, 0, 0])
    let frame = Chunk("fcTL", [0, 0, 0, 0] + Chunk.number(150) + Chunk.number(90) + [UInt8](repeating: 0, count: 14))
    let second = Chunk("fdAT", [0, 0, 0, 2, 9, 9, 9])
    let png = try Self.file(Self.image, before: [control, frame], behind: [frame, second])
    let types = try Chunk.all(in: optimized(png)).map(\.type)
    #expect(types == ["IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "IEND"])
    var image = Self.image
    image.isInterlaced = true
    let interlaced = try Self.file(image, before: [control, frame], behind: [frame, second])
    #expect(try ImageOptimizer().compress(interlaced, level: .fast) == .kept(.interlacedAnimation))
  }

  @Test("unknown chunks: kept if that is safe, else the image is left alone, or not understood")
  func unknown() throws {
    let safe = Chunk("prVa", [1]), unsafe = Chunk("prVT", [1]), needed = Chunk("PrVa", [1])
    #expect(try Chunk.all(in: optimized(Self.file(Self.image, before: [safe]))).contains(safe))
    #expect(
      try ImageOptimizer().compress(Self.file(Self.image, behind: [unsafe, safe]), level: .fast)
        == .kept(.privateChunk("prVT")))
    let png = try Self.file(Self.image, behind: [needed])
    #expect(throws: PNGDefect.badChunk("PrVa")) { try ImageOptimizer().compress(png, level: .fast) }
  }
}
