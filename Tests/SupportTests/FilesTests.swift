import Glibc
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Files", .timeLimit(.minutes(1)))
struct FilesTests {
  @Test("write, read, list, remove")
  func roundTrip() throws {
    let folder = try TemporaryFolder()
    let deep = folder.path.appending("a/b/c")
    try Files.makeDirectory(deep)
    try Files.makeDirectory(deep)
    let file = deep.appending("f ü\n\"")
    try Files.replace(file, with: Array("hello".utf8))
    try Files.append(Array(" world".utf8), to: file)
    #expect(try Files.read(file).map { String(decoding: $0, as: UTF8.self) } == "hello world")
    #expect(try Files.names(in: deep) == ["f ü\n\""])
    #expect(try Files.digest(.md5, of: file).hexadecimal == "5eb63bbbe01eeed093cb22bb8f5acdc3")
    try Files.symbolicLink(deep.appending("l"), to: "/nowhere")
    #expect(Files.exists(deep.appending("l")))
    #expect(Files.status(of: deep.appending("l")) == nil)
    try Files.remove(folder.path.appending("a"))
    #expect(try Files.names(in: folder.path).isEmpty)
  }

  @Test("removing follows no link")
  func links() throws {
    let folder = try TemporaryFolder()
    let kept = folder.path.appending("kept")
    try Files.makeDirectory(kept)
    try Files.replace(kept.appending("f"), with: [])
    try Files.makeDirectory(folder.path.appending("gone"))
    try Files.symbolicLink(folder.path.appending("gone/link"), to: kept)
    try Files.remove(folder.path.appending("gone"))
    #expect(try Files.names(in: kept) == ["f"])
  }

  @Test("names that are no UTF-8 are read as Latin-1, opened and removed")
  func latin() throws {
    let folder = try TemporaryFolder()
    let name = FilePath(platformString: [0x62, CChar(bitPattern: 0xfc), 0])
    let path = folder.path.appending("below").appending(name.components)
    try Files.makeDirectory(path)
    #expect(try Files.names(in: path.removingLastComponent()) == ["bü"])
    #expect(try Files.entries(in: path.removingLastComponent()) == [path])
    #expect(Files.name(of: path) == "bü" && Files.name(of: "/a/ü") == "ü" && Files.name(of: "/") == "")
    try Files.remove(path.removingLastComponent())
    #expect(try Files.names(in: folder.path) == [])
  }

  @Test("what is missing, too large or no plain file")
  func odd() throws {
    let folder = try TemporaryFolder()
    #expect(try Files.read(folder.path.appending("x")) == nil)
    #expect(try Files.names(in: folder.path.appending("x")) == [])
    let fifo = folder.path.appending("fifo")
    #expect(mkfifo(fifo.string, 0o600) == 0)
    #expect(throws: FileError("read", fifo, .invalidArgument)) { try Files.read(fifo) }
    #expect(throws: FileError.self) { try Files.read(folder.path) }
    let big = folder.path.appending("big")
    try Files.replace(big, with: [UInt8](repeating: 0, count: 11))
    #expect(throws: FileError("read", big, .fileTooLarge)) { try Files.read(big, limit: 10) }
    #expect(throws: FileError.self) { try Files.makeDirectory(big.appending("below")) }
  }
}
