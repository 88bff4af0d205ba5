public import SystemPackage

/// The places where something is mounted, as this process sees them.
public enum MountPoints {
  /// Returns the paths of all mount points below a folder, relative to it. Blocks; the file systems themselves are not
  /// asked.
  /// - Throws: ``FileError``.
  public static func below(_ folder: FilePath) throws(FileError) -> Set<FilePath> {
    let table = try Files.read("/proc/self/mountinfo") ?? []
    return below(folder, in: table)
  }

  /// Reads what `/proc/self/mountinfo` looks like: the fifth word of each line is a path in which white space and
  /// backslashes are written in octal digits.
  static func below(_ folder: FilePath, in table: [UInt8]) -> Set<FilePath> {
    var found: Set<FilePath> = []
    for line in table.split(separator: UInt8(ascii: "\n")) {
      let words = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
      guard words.count > 4 else { continue }
      var path = FilePath(platformString: unescaped(words[4]).map { CChar(bitPattern: $0) } + [0])
      guard path != folder, path.removePrefix(folder) else { continue }
      found.insert(path)
    }
    return found
  }

  private static func unescaped(_ word: ArraySlice<UInt8>) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = word
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3,
        let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      {
        bytes.append(code)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return bytes
  }
}
