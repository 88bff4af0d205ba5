import Foundation
import OpenQAProtocol
import Support
import Testing

/// Chunks as a reference client sends them: `source.bin`, 57 bytes, in chunks of 20. Its `file` is an object, where ours
/// is a text.
@Suite("Storable")
struct StorableTests {
  static func bytes(_ name: String) throws -> [UInt8] {
    let url = try #require(Bundle.module.url(forResource: "Fixtures/storable/\(name)", withExtension: nil))
    return Array(try Data(contentsOf: url))
  }

  /// What makes the reference's `file` an object.
  static let object = [0x14, 0x11, 0x0a] + Array("Mojo::File".utf8)

  static func chunk(_ index: Int) throws -> StorableChunk {
    let source = try bytes("source.bin")
    let start = (index - 1) * 20
    return StorableChunk(
      index: Int64(index), total: 3, start: Int64(start), totalDigest: Digest.sha256(source),
      content: Array(source[start..<min(start + 20, source.count)]), file: "/tmp/x.bin")
  }

  @Test("recorded chunks are understood", arguments: 1...3)
  func reading(index: Int) throws {
    let chunk = try StorableChunk(image: try Self.bytes("chunk-\(index).storable"))
    #expect(chunk == (try Self.chunk(index)))
    #expect(chunk.isIntact && chunk.isLast == (index == 3))
  }

  @Test("recorded chunks are written byte for byte, but for the object", arguments: 1...3)
  func writing(index: Int) throws {
    let recorded = try Self.bytes("chunk-\(index).storable")
    let place = try #require(recorded.firstRange(of: Self.object))
    let expected = Array(recorded[..<place.lowerBound] + recorded[place.upperBound...])
    // The order of keys is the reference's own each time: the values are read in that order.
    #expect(try Storable(image: recorded).image == expected)

    // Ours are the same pairs in an order of our own.
    let ours = try Storable(image: try Self.chunk(index).image)
    guard case .hash(let pairs) = ours, case .hash(let recordedPairs) = try Storable(image: recorded) else {
      Issue.record("no hashes")
      return
    }
    #expect(Set(pairs) == Set(recordedPairs) && pairs.count == recordedPairs.count)
    #expect(try Self.chunk(index).image.count == expected.count)
  }

  @Test(
    "values",
    arguments: [
      (Storable.integer(0), "0880"), (.integer(-128), "0800"), (.integer(127), "08ff"), (.integer(128), "0900000080"),
      (.integer(-129), "09ffffff7f"), (.integer(2_147_483_647), "097fffffff"),
      (.integer(-2_147_483_648), "0980000000"), (.integer(2_147_483_648), "0a0a32313437343833363438"),
      (.bytes([]), "0a00"), (.text("ü"), "0a02c3bc"), (.hash([]), "0300000000"),
      (.hash([.init("k", .integer(1))]), "03000000010881000000016b"),
    ])
  func values(value: Storable, image: String) throws {
    #expect(value.image.hexadecimal == "050b" + image)
    let read = try Storable(image: value.image)
    #expect(read == value || read.integer == value.integer)
  }

  @Test("short and long texts", arguments: [255, 256, 70_000])
  func lengths(count: Int) throws {
    let value = Storable.bytes([UInt8](repeating: 7, count: count))
    #expect(value.image.count == 2 + (count < 256 ? 2 : 5) + count)
    #expect(try Storable(image: value.image) == value)
  }

  @Test("offsets beyond 2 GiB")
  func large() throws {
    let start: Int64 = 5_000_000_000
    let chunk = StorableChunk(index: 501, total: 600, start: start, totalDigest: [1], content: [2], file: "f")
    let read = try StorableChunk(image: chunk.image)
    #expect(read == chunk && read.end == start + 1)
  }

  @Test("a chunk that is cut anywhere, or followed by anything, is refused")
  func cut() throws {
    let image = try Self.chunk(2).image
    for count in 0..<image.count {
      #expect(throws: ProtocolError.self, "\(count) bytes") { try StorableChunk(image: Array(image.prefix(count))) }
    }
    #expect(throws: ProtocolError.self) { try StorableChunk(image: image + [0]) }
  }

  @Test("any byte may be any other: it is refused or read, never more")
  func garbage() throws {
    var generator = SystemRandomNumberGenerator()
    let image = try Self.chunk(1).image
    for place in image.indices {
      for byte in [0, 1, 3, 4, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &generator)] {
        var damaged = image
        damaged[place] = byte
        if let chunk = try? StorableChunk(image: damaged) { #expect((1...chunk.total).contains(chunk.index)) }
      }
    }
    for count in 0..<200 {
      let noise = (0..<count).map { _ in UInt8.random(in: 0...25, using: &generator) }
      _ = try? Storable(image: [0x05, 0x0b] + noise)
    }
  }

  @Test(
    "images that say too much of themselves",
    arguments: [
      "", "05", "050b", "040b0880", "050b01ffffffff", "050b03ffffffff", "050b03ffffffff0a00ffffffff",
      "050b11ffffffffff", "050b02ffffffff", "050b05", "050b" + String(repeating: "04", count: 1_000_000),
      "050b" + String(repeating: "0300000001", count: 100_000),
    ])
  func hostile(text: String) {
    let digits = Array(text.utf8)
    let image = stride(from: 0, to: digits.count, by: 2).map { place in
      UInt8(String(decoding: digits[place...place + 1], as: UTF8.self), radix: 16) ?? 0
    }
    #expect(throws: ProtocolError.self) { try Storable(image: image) }
  }

  static func hash(_ changes: [String: Storable?]) -> [UInt8] {
    var values: [String: Storable] = [
      "index": .integer(1), "total": .integer(2), "start": .integer(0), "end": .integer(1), "cksum": .text("c"),
      "total_cksum": .text("t"), "content": .text("61"), "file": .text("f"),
    ]
    for (key, value) in changes { values[key] = value }
    return Storable.hash(values.map { Storable.Pair($0.key, $0.value) }).image
  }

  @Test(
    "chunks of impossible numbers",
    arguments: [
      ["index": .integer(0)], ["index": .integer(3)], ["total": .integer(0)], ["start": .integer(-1)],
      ["start": .text("9223372036854775807"), "end": .integer(0)], ["end": .integer(2)], ["end": .text("x")],
      ["end": .text("9223372036854775808")], ["content": .text("6")], ["content": .text("6g")], ["content": nil],
      ["file": nil], ["cksum": .hash([])], ["total_cksum": nil], ["index": .hash([])],
    ] as [[String: Storable?]])
  func impossible(changes: [String: Storable?]) throws {
    #expect(try StorableChunk(image: Self.hash([:])).content == [0x61])
    #expect(throws: ProtocolError.self) { try StorableChunk(image: Self.hash(changes)) }
  }
}
