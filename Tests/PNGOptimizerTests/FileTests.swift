import Glibc
import PNGOptimizer
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Image files", .timeLimit(.minutes(2)))
struct FileTests {
  private let folder: TemporaryFolder
  private let file: FilePath
  private let png: [UInt8]
  private let optimizer = ImageOptimizer()

  init() throws {
    folder = try TemporaryFolder()
    file = folder.path.appending("screen 1.png")
    png = try SampleImage.rgb(320, 120) { x, y in [UInt8(x / 9), UInt8(y), 9] }.png
    try Files.replace(file, with: png)
  }

  /// That the file is as it was, and alone.
  private func expectUntouched(_ content: [UInt8]? = nil, sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(try Files.read(file) == content ?? png, sourceLocation: sourceLocation)
    #expect(try Files.names(in: file.removingLastComponent()) == ["screen 1.png"], sourceLocation: sourceLocation)
  }

  @Test("a smaller one takes the place, with permissions and time")
  func replaced() throws {
    try Files.setPermissions(file, to: [.ownerReadWrite, .groupRead])
    let times = [
      timespec(tv_sec: 1_700_000_000, tv_nsec: 123_456_789), timespec(tv_sec: 1_700_000_000, tv_nsec: 123_456_789),
    ]
    #expect(file.withPlatformString { utimensat(AT_FDCWD, $0, times, 0) } == 0)
    let before = try #require(Files.status(of: file))
    let outcome = try optimizer.optimize(file, level: .standard)
    let content = try #require(try Files.read(file))
    #expect(outcome == .optimized(before: png.count, after: content.count))
    _ = try pixels(of: content, like: png)
    let after = try #require(Files.status(of: file))
    #expect(after.permissions == [.ownerReadWrite, .groupRead] && after.modified == before.modified)
    try expectUntouched(content)
    #expect(try optimizer.optimize(file, level: .standard) == .kept(.notSmaller))
    #expect(Files.status(of: file) == after)
  }

  @Test("a defective one is named and stays")
  func defective() throws {
    let bad = Array(png.dropLast(3))
    try Files.replace(file, with: bad)
    #expect(throws: PNGError.defective(file, .truncated)) { try optimizer.optimize(file, level: .fast) }
    #expect("\(PNGError.defective(file, .truncated))" == "\(file): is cut off")
    try expectUntouched(bad)
  }

  @Test("one that is not there, no file, or a link")
  func odd() throws {
    let missing = folder.path.appending("missing.png")
    #expect(throws: PNGError.file(FileError("read", missing, .noSuchFileOrDirectory))) {
      try optimizer.optimize(missing, level: .fast)
    }
    #expect(throws: PNGError.self) { try optimizer.optimize(folder.path, level: .fast) }
    let fifo = folder.path.appending("fifo.png"), link = folder.path.appending("link.png")
    #expect(mkfifo(fifo.string, 0o600) == 0)
    #expect(throws: PNGError.self) { try optimizer.optimize(fifo, level: .fast) }
    try Files.symbolicLink(link, to: file)
    #expect(throws: PNGError.self) { try optimizer.optimize(link, level: .fast) }
    #expect(try Files.read(file) == png)
  }

  @Test("one that grows, changes, is replaced or vanishes meanwhile is left alone")
  func changing() throws {
    #expect(
      try optimizer.optimize(file, level: .fast) {
        try? Files.append([0], to: file)
        return false
      } == .kept(.changed))
    try expectUntouched(png + [0])
    // The same size, at another time.
    try Files.replace(file, with: png)
    #expect(
      try optimizer.optimize(file, level: .fast) {
        let now = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
        return file.withPlatformString { utimensat(AT_FDCWD, $0, now, 0) } != 0
      } == .kept(.changed))
    try expectUntouched()
    #expect(
      try optimizer.optimize(file, level: .fast) {
        try? Files.replace(file, with: [1, 2, 3])
        return false
      } == .kept(.changed))
    try expectUntouched([1, 2, 3])
    try Files.replace(file, with: png)
    #expect(
      try optimizer.optimize(file, level: .fast) {
        try? Files.remove(file)
        return false
      } == .kept(.changed))
    #expect(try Files.names(in: folder.path).isEmpty)
  }

  @Test("one whose folder is gone in the end")
  func goneFolder() throws {
    #expect(throws: PNGError.file(FileError("create a file beside", file, .noSuchFileOrDirectory))) {
      try optimizer.optimize(file, level: .fast) {
        try? Files.remove(folder.path)
        return false
      }
    }
    #expect(!Files.exists(folder.path))
  }

  @Test("one that nobody wants any more")
  func unwanted() throws {
    #expect(try optimizer.optimize(file, level: .fast) { true } == .kept(.unwanted))
    try expectUntouched()
  }

  @Test("a file system without room", .enabled(if: Mount.isAllowed, "this process may not mount: it is not root's"))
  func full() throws {
    let small = folder.path.appending("small")
    try Files.makeDirectory(small)
    let mount = try Mount(on: small, size: 64 << 10)
    var generator = SeededGenerator(1)
    // Noise with few colours: half as large in the end, which is too much for what is left.
    let image = try SampleImage.rgb(200, 200) { _, _ in [generator.byte() & 15, 3, 7] }.png
    let path = small.appending("screen.png")
    try Files.replace(path, with: image)
    let filler = [UInt8](repeating: 0, count: 4096)
    let rest = small.appending("rest")
    while (try? Files.append(filler, to: rest)) != nil {}
    #expect(throws: PNGError.file(FileError("write a file beside", path, .noSpace))) {
      try optimizer.optimize(path, level: .fast)
    }
    #expect(try Files.read(path) == image)
    #expect(try Files.names(in: small) == ["rest", "screen.png"])
    withExtendedLifetime(mount) {}
  }

  @Test("a folder that cannot be written to", .enabled(if: geteuid() != 0, "root can write everywhere"))
  func readOnly() throws {
    try Files.setPermissions(folder.path, to: [.ownerRead, .ownerExecute])
    defer { try? Files.setPermissions(folder.path, to: .ownerReadWriteExecute) }
    #expect(throws: PNGError.file(FileError("create a file beside", file, .permissionDenied))) {
      try optimizer.optimize(file, level: .fast)
    }
    try expectUntouched()
  }
}
