import CPNGReference
import Glibc
import TestSupport

/// An image that a test makes up.
struct SampleImage {
  var width: Int
  var height: Int
  /// 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGB with alpha.
  var colourType = 2
  var bitDepth = 8
  var isInterlaced = false
  /// As bits: 8 none, 16 sub, 32 up, 64 average, 128 Paeth.
  var filters = 16
  var palette: [UInt8] = []
  /// Packed samples, row after row.
  var rows: [UInt8] = []

  var channels: Int { [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][colourType] ?? 1 }
  var rowSize: Int { (width * channels * bitDepth + 7) / 8 }

  /// The file, encoded by libpng.
  var png: [UInt8] {
    get throws {
      try palette.withUnsafeBufferPointer { palette in
        var description = reference_description()
        description.width = UInt32(width)
        description.height = UInt32(height)
        description.colour_type = UInt8(colourType)
        description.bit_depth = UInt8(bitDepth)
        description.interlaced = isInterlaced
        description.filters = Int32(filters)
        description.palette = palette.baseAddress
        description.colours = Int32(palette.count / 3)
        var size = 0
        guard let bytes = reference_encode(&description, rows, &size) else { throw CannotEncode() }
        defer { free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: size))
      }
    }
  }

  struct CannotEncode: Error {}

  /// RGB pixels, each of a colour that `colour` says.
  static func rgb(_ width: Int, _ height: Int, colour: (Int, Int) -> [UInt8]) -> SampleImage {
    var image = SampleImage(width: width, height: height)
    for y in 0..<height { for x in 0..<width { image.rows += colour(x, y) } }
    return image
  }

  /// A picture of a kind, all of whose samples are made by `generator`.
  static func random(
    _ width: Int, _ height: Int, colourType: Int, bitDepth: Int, using generator: inout SeededGenerator
  ) -> SampleImage {
    var image = SampleImage(width: width, height: height, colourType: colourType, bitDepth: bitDepth)
    if colourType == 3 { image.palette = (0..<3 << bitDepth).map { _ in generator.byte() } }
    // Some noise, some of it repeated, some flat: every kind of row.
    for y in 0..<height {
      switch y % 5 {
      case 0: image.rows += (0..<image.rowSize).map { _ in generator.byte() }
      case 1 where y > 1: image.rows += image.rows.suffix(image.rowSize)
      case 2: image.rows += (0..<image.rowSize).map { UInt8(truncatingIfNeeded: $0 + y) }
      default: image.rows += [UInt8](repeating: generator.byte(), count: image.rowSize)
      }
    }
    return image
  }
}

/// What is in a PNG, according to libpng.
struct Pixels: Equatable {
  var width: UInt32
  var height: UInt32
  var colourType: UInt8
  var bitDepth: UInt8
  var isInterlaced: Bool
  /// RGBA with 16 bits each.
  var samples: [UInt8]

  /// Nil if libpng does not take it.
  init?(_ png: [UInt8]) {
    let image = reference_decode(png, png.count)
    guard let pixels = image.pixels else { return nil }
    defer { free(pixels) }
    width = image.width
    height = image.height
    colourType = image.colour_type
    bitDepth = image.bit_depth
    isInterlaced = image.interlaced
    samples = Array(UnsafeBufferPointer(start: pixels, count: Int(width) * Int(height) * 8))
  }

  /// Whether somebody who looks at the two sees the same.
  func looksLike(_ other: Pixels?) -> Bool {
    width == other?.width && height == other?.height && samples == other?.samples
  }
}
