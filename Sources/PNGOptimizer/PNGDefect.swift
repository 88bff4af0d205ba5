/// What is wrong with a PNG.
public enum PNGDefect: Error, Sendable, Hashable, CustomStringConvertible {
  /// It does not begin like one.
  case notPNG
  /// It ends before its last chunk does.
  case truncated
  /// A chunk is not what was written.
  case badChecksum(chunk: String)
  /// A chunk is unknown and needed, has a size that it cannot have, or is at the wrong place.
  case badChunk(String)
  /// Size, kind of pixels or methods are not those of a PNG.
  case badHeader
  /// More pixels than are looked at (64 Mi).
  case tooLarge
  /// What is compressed cannot be decompressed; in libpng's words, where it was asked.
  case badData(String)
  /// What is compressed is not what was written.
  case badDataChecksum
  /// There are rows missing.
  case tooLittleData
  /// There is more than the image's rows.
  case tooMuchData
  /// A row has a filter that there is not.
  case badFilter
  /// There is something behind the image.
  case trailingBytes
  /// There was no memory for it.
  case outOfMemory

  /// For a log, after the image's name.
  public var description: String {
    switch self {
    case .notPNG: "is no PNG"
    case .truncated: "is cut off"
    case .badChecksum(let chunk): "chunk \(chunk) has a wrong checksum"
    case .badChunk(let chunk): "chunk \(chunk) is unknown, misplaced or of a wrong size"
    case .badHeader: "the header is that of no PNG"
    case .tooLarge: "has more than 64 million pixels"
    case .badData(let message): "the image data are damaged\(message.isEmpty ? "" : ": \(message)")"
    case .badDataChecksum: "the image data have a wrong checksum"
    case .tooLittleData: "has less image data than its size needs"
    case .tooMuchData: "has more image data than its size needs"
    case .badFilter: "a row has an unknown filter"
    case .trailingBytes: "goes on after its end"
    case .outOfMemory: "there is not enough memory for it"
    }
  }
}
