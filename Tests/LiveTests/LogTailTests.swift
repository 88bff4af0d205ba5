import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@testable import Live

@Suite("LogTail")
struct LogTailTests {
  let folder: TemporaryFolder
  let path: FilePath
  var tail: LogTail

  init() throws {
    folder = try TemporaryFolder()
    path = folder.path.appending("log")
    tail = LogTail(path)
  }

  private func append(_ text: String) throws { try Files.append(text.utf8, to: path) }

  /// What is new, taken as done with.
  private mutating func take(_ limit: Int = 100) throws -> String? {
    guard let piece = try tail.read(limit) else { return nil }
    tail.drop(piece)
    return "\(piece.offset):\(String(decoding: piece.bytes, as: UTF8.self))"
  }

  @Test("each byte once, in pieces; a piece that is not done with comes again, with what is new")
  mutating func growing() throws {
    #expect(try take() == nil)
    try append("abcdef")
    #expect(try take(4) == "0:abcd")
    #expect(try tail.read(4) == LiveStatus.Piece(offset: 4, bytes: Array("ef".utf8)))
    try append("gh")
    #expect(try take(4) == "4:efgh")
    #expect(try take() == "8:")
  }

  @Test("a file that is emptied begins anew")
  mutating func truncated() throws {
    try append("abcdef")
    #expect(try take() == "0:abcdef")
    try FileDescriptor.open(path, .writeOnly, options: .truncate).close()
    try append("xy")
    #expect(try take() == "0:xy")
  }

  @Test("of a file that is moved away the rest comes first, then what has its name")
  mutating func rotated() throws {
    try append("abc")
    #expect(try take() == "0:abc")
    try append("def")
    try Files.move(path, to: folder.path.appending("old"))
    #expect(try take() == "3:def")
    #expect(try take() == "6:")
    try append("xyz and more")
    #expect(try take() == "0:xyz and more")
  }

  @Test("goes on where another has been")
  mutating func resumed() throws {
    try append("abcdef")
    tail = LogTail(path, from: 4)
    #expect(try take() == "4:ef")
    tail = LogTail(path, from: 40)
    #expect(try take() == "0:abcdef")
  }

  @Test("what is no plain file has nothing to read")
  mutating func special() throws {
    try Files.makeDirectory(path)
    #expect(try take() == nil)
  }
}
