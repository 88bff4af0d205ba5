import CLinux
public import SystemPackage

/// Looks for lines in files of any size.
public enum LineSearch {
  private static let pieceSize = 256 << 10
  /// Of a longer line only its beginning and its end are looked at.
  private static let longestLine = 1 << 20

  /// The lines of a file that contain one of `texts`, in their order; none if there is no file. Blocks, and needs no more
  /// memory for a larger file.
  /// - Parameter limit: how many lines to find at most.
  /// - Throws: ``FileError``.
  public static func lines(of path: FilePath, containing texts: [String], limit: Int = 100) throws(FileError)
    -> [String]
  {
    let file: FileDescriptor
    do {
      file = try FileDescriptor.open(path, .readOnly, options: [.nonBlocking, .closeOnExec])
    } catch {
      if (error as? Errno) == .noSuchFileOrDirectory { return [] }
      throw FileError("open", path, error as? Errno ?? .ioError)
    }
    defer { try? file.close() }
    let needles = texts.map { Array($0.utf8) }
    var found: [String] = []
    var rest: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: pieceSize)
    while found.count < limit {
      let count: Int
      do { count = try piece.withUnsafeMutableBytes { try file.read(into: $0) } } catch {
        throw FileError("read", path, error as? Errno ?? .ioError)
      }
      if rest.count > longestLine { rest.removeAll(keepingCapacity: true) }
      rest += piece[..<count]
      // The last line goes on in the next piece.
      let end = count == 0 ? rest.count : rest.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
      if needles.contains(where: { contains(rest[..<end], $0) }) {
        for line in rest[..<end].split(separator: UInt8(ascii: "\n")) where found.count < limit {
          if needles.contains(where: { contains(line, $0) }) { found.append(String(decoding: line, as: UTF8.self)) }
        }
      }
      if count == 0 { break }
      rest.removeSubrange(..<end)
    }
    return found
  }

  private static func contains(_ bytes: ArraySlice<UInt8>, _ needle: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { clinux_contains($0.baseAddress, $0.count, needle, needle.count) }
  }
}
