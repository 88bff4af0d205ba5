import OpenQAProtocol
import Support
import SystemPackage
import Transport

/// A chunk of an asset, made while it is sent (protocol §8): its content is neither in memory nor read before.
final class ChunkSource: BodySource {
  /// How far the chunk has been made.
  private final class Progress {
    /// In the chunk as it is sent.
    var offset = 0
    /// The content's bytes, before they are digits.
    var buffer: [UInt8] = []
    /// Nil when it has said its sum.
    var hasher: Digest.Hasher? = Digest.Hasher(.sha1)
  }

  /// Bytes of the content that are read at a time.
  private static let pieceSize = 128 << 10

  private let content: AssetContent
  private let range: Range<Int64>
  private let frame: StorableChunk.Frame
  private let progress = Guarded(Progress())

  /// - Parameter index: from 1.
  /// - Parameter digest: the raw SHA-256 sum of the whole asset.
  init(_ index: Int64, of total: Int64, size: Int64, _ content: AssetContent, _ digest: [UInt8]) {
    self.content = content
    let start = (index - 1) * size
    range = start..<min(start + size, content.asset.size)
    frame = StorableChunk.Frame(
      index: index, total: total, content: range, totalChecksum: StorableChunk.text(of: digest),
      file: content.asset.path.string)
  }

  /// Bytes of the chunk as it is sent.
  var length: Int { digits.upperBound + frame.tail(checksum: StorableChunk.text(of: Digest.sha1([]))).count }

  /// Where the content's digits are in that.
  private var digits: Range<Int> { frame.head.count..<frame.head.count + frame.digitCount }

  func read(at offset: Int) throws -> [UInt8] {
    try progress.withLock { progress in
      if offset < progress.offset { progress = Progress() }
      while true {
        let start = progress.offset
        let piece = try next(progress)
        progress.offset += piece.count
        if start == offset || piece.isEmpty { return piece }
        if progress.offset > offset { return Array(piece.suffix(progress.offset - offset)) }
      }
    }
  }

  /// The next piece; none after the last.
  private func next(_ progress: Progress) throws -> [UInt8] {
    if progress.offset == 0 { return frame.head }
    if digits.contains(progress.offset) { return try nextDigits(progress) }
    guard let sum = progress.hasher.take()?.finish() else { return [] }
    try content.check()
    return frame.tail(checksum: StorableChunk.text(of: sum))
  }

  private func nextDigits(_ progress: Progress) throws -> [UInt8] {
    let start = range.lowerBound + Int64((progress.offset - digits.lowerBound) / 2)
    let count = min(ChunkSource.pieceSize, Int(range.upperBound - start))
    if progress.buffer.count != count { progress.buffer = [UInt8](repeating: 0, count: count) }
    try progress.buffer.withUnsafeMutableBytes { try content.read(from: start, into: $0) }
    progress.hasher?.update(progress.buffer)
    return Hexadecimal.digits(of: progress.buffer)
  }
}
