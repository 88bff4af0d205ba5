import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@testable import Upload

@Suite("A chunk that is made while it is sent", .timeLimit(.minutes(1)))
struct ChunkSourceTests {
  private let folder: TemporaryFolder
  private let source: ChunkSource
  private var path: FilePath { folder.path.appending("assets_public/disk.img") }

  init() throws {
    folder = try TemporaryFolder()
    try Files.makeDirectory(folder.path.appending("assets_public"))
    try Files.replace(
      folder.path.appending("assets_public/disk.img"), with: AssetUploaderTests.content(400_000))
    let asset = try #require(try AssetFile.find(in: folder.path).found.first)
    source = ChunkSource(1, of: 1, size: 400_000, try AssetContent(asset), Digest.sha1([]))
  }

  /// Reads from `offset` to the end.
  private func read(from offset: Int = 0) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while case let piece = try source.read(at: offset + bytes.count), !piece.isEmpty { bytes += piece }
    return bytes
  }

  @Test("is the same however often and from wherever it is read")
  func again() throws {
    let whole = try read()
    #expect(whole.count == source.length)
    #expect(try read() == whole)
    #expect(try read(from: 300_001) == Array(whole[300_001...]))
  }

  @Test("does not come to its end when its file has changed in the middle", arguments: [false, true])
  func changing(isShorter: Bool) throws {
    let start = try source.read(at: 0).count
    let piece = try source.read(at: start).count
    #expect(piece > 0 && start + piece < source.length / 2)
    try Files.replace(path, with: AssetUploaderTests.content(isShorter ? 200_000 : 400_000, seed: 1))
    #expect(throws: AssetContent.Changed.self) { try read(from: start + piece) }
  }
}
