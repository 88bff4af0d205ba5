import CPNGOptimizer

/// Makes PNG images smaller without changing a pixel.
///
/// It has compressors and memory that are used for one image after the other, some 15 MB, so it belongs to one thread.
/// Everything blocks.
public final class ImageOptimizer {
  private let optimizer = cpng_create()

  /// Why a sound image is left as it is.
  public enum Reason: Sendable, Hashable {
    /// Compressed anew it would not be smaller.
    case notSmaller
    /// A chunk that is not known may depend on how the image is stored.
    case privateChunk(String)
    /// It is both interlaced and animated.
    case interlacedAnimation
    /// Too many others were waiting.
    case busy
  }

  /// What can be made of an image.
  public enum Compressed: Sendable, Hashable {
    /// A smaller file.
    case smaller([UInt8])
    /// Nothing.
    case kept(Reason)
  }

  /// Takes no memory to speak of before there is an image.
  public init() {}

  deinit { cpng_destroy(optimizer) }

  /// Compresses the content of a file.
  /// - Throws: ``PNGDefect``.
  public func compress(_ file: [UInt8], level: PNGLevel) throws(PNGDefect) -> Compressed {
    guard let optimizer else { throw .outOfMemory }
    let result = cpng_optimize(optimizer, file, file.count, level.effort)
    let detail = withUnsafeBytes(of: result.detail) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    switch result.status {
    case CPNG_SMALLER: return .smaller(Array(UnsafeBufferPointer(start: result.bytes, count: result.size)))
    case CPNG_NOT_SMALLER: return .kept(.notSmaller)
    case CPNG_PRIVATE_CHUNK: return .kept(.privateChunk(detail))
    case CPNG_INTERLACED_ANIMATION: return .kept(.interlacedAnimation)
    case CPNG_NOT_PNG: throw .notPNG
    case CPNG_TRUNCATED: throw .truncated
    case CPNG_BAD_CHECKSUM: throw .badChecksum(chunk: detail)
    case CPNG_BAD_CHUNK: throw .badChunk(detail)
    case CPNG_BAD_HEADER: throw .badHeader
    case CPNG_TOO_LARGE: throw .tooLarge
    case CPNG_BAD_DATA_CHECKSUM: throw .badDataChecksum
    case CPNG_TOO_LITTLE_DATA: throw .tooLittleData
    case CPNG_TOO_MUCH_DATA: throw .tooMuchData
    case CPNG_BAD_FILTER: throw .badFilter
    case CPNG_TRAILING_BYTES: throw .trailingBytes
    case CPNG_NO_MEMORY: throw .outOfMemory
    default: throw .badData(detail)
    }
  }
}
