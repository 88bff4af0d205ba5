import Support
import SystemPackage

/// Reads what a program appends to its log, line by line.
struct LogFollower {
  private let path: FilePath
  private var changes: FolderWatch.Iterator
  private var offset: Int64 = 0
  private var rest = ""
  private var lines: ArraySlice<Substring> = []

  /// Begins at the log's start. Its folder has to be there.
  init(_ path: FilePath, _ watcher: FileWatcher) throws {
    self.path = path
    changes = try watcher.watch(path.removingLastComponent(), for: [.created, .modified]).makeAsyncIterator()
  }

  /// Leaves out all lines that are in the log now.
  mutating func skip() {
    offset = Files.status(of: path)?.size ?? 0
    (rest, lines) = ("", [])
  }

  /// Returns the next line that contains `text`, as soon as it is in the log.
  /// - Throws: ``FileError``; `CancellationError`.
  mutating func line(with text: String) async throws -> Substring {
    while true {
      while let line = lines.popFirst() { if line.contains(text) { return line } }
      let bytes = try Files.read(path, from: offset, limit: 1 << 20)
      if bytes.isEmpty {
        guard await changes.next() != nil else { throw CancellationError() }
      }
      offset += Int64(bytes.count)
      lines =
        (rest + String(decoding: bytes, as: UTF8.self)).split(separator: "\n", omittingEmptySubsequences: false)[...]
      rest = String(lines.popLast() ?? "")
    }
  }
}
