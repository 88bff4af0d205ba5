import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Support

@Suite("Removal of folders", .timeLimit(.minutes(2)))
struct FolderRemovalTests {
  let temporary: TemporaryFolder
  /// The folder that is emptied.
  var folder: FilePath { temporary.path.appending("folder") }
  /// What nobody may touch.
  var outside: FilePath { temporary.path.appending("outside") }

  init() throws {
    temporary = try TemporaryFolder()
    try Files.makeDirectory(folder)
    try Files.makeDirectory(outside.appending("sub"))
    for name in ["file", "sub/file"] { try Files.replace(outside.appending(name), with: []) }
  }

  func expectOutside(_ location: SourceLocation = #_sourceLocation) throws {
    #expect(try Files.names(in: outside) == ["file", "sub"], sourceLocation: location)
    #expect(try Files.names(in: outside.appending("sub")) == ["file"], sourceLocation: location)
  }

  /// Runs `body` on a thread of its own as another user is, as far as files are concerned.
  func asNobody<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async throws -> Value {
    let lane = try IOLane(name: "nobody")
    return try await lane.run {
      // `setfsuid`, which is the thread's, is hidden by a feature macro.
      typealias Call = @convention(c) (UInt32) -> Int32
      let call = unsafeBitCast(try #require(dlsym(nil, "setfsuid")), to: Call.self)
      _ = call(65534)
      defer { _ = call(0) }
      return body()
    }
  }

  @discardableResult
  func own(_ path: FilePath, mode: UInt32) -> FilePath {
    _ = path.withPlatformString { lchown($0, 65534, 65534) }
    _ = path.withPlatformString { chmod($0, mode) }
    return path
  }

  /// Makes folders, each in the one before, and runs `body` in each before that.
  func chain(_ name: String, depth: Int, _ body: (Int32, Int) -> Void = { _, _ in }) {
    var descriptor = folder.withPlatformString { open($0, O_RDONLY | O_DIRECTORY, 0) }
    for level in 0..<depth {
      body(descriptor, level)
      _ = mkdirat(descriptor, name, 0o755)
      let next = openat(descriptor, name, O_RDONLY | O_DIRECTORY, 0)
      close(descriptor)
      descriptor = next
    }
    close(openat(descriptor, "file", O_WRONLY | O_CREAT, 0))
    close(descriptor)
  }

  // MARK: What there can be

  @Test("removes entries of every kind and name, but for those that are kept")
  func kinds() throws {
    try Files.makeDirectory(folder.appending("a/b/c"))
    for name in ["f", "a/f", "a/b/line\nfeed \u{7}", ".kept", "a/.not kept"] {
      try Files.replace(folder.appending(name), with: [1])
    }
    let latin = FilePath(platformString: [0x62, CChar(bitPattern: 0xfc), 0])
    try Files.makeDirectory(folder.appending("a").appending(latin.components))
    #expect(mkfifo(folder.appending("a/fifo").string, 0) == 0)
    #expect(mknod(folder.appending("socket").string, S_IFSOCK, 0) == 0)
    for (name, target) in [("folder", outside), ("file", outside.appending("file")), ("none", "/nowhere")] {
      try Files.symbolicLink(folder.appending("a/link to \(name)"), to: target)
    }
    let report = FolderRemoval.empty(folder) { $0.hasPrefix(".") }
    #expect(report == FolderRemoval.Report())
    #expect(try Files.names(in: folder) == [".kept"])
    try expectOutside()
  }

  @Test("a folder that does not exist is empty, and a link to a folder stands for it")
  func root() throws {
    #expect(FolderRemoval.empty(folder.appending("none")).failureCount == 0)
    try Files.replace(folder.appending("f"), with: [])
    let link = temporary.path.appending("link")
    try Files.symbolicLink(link, to: folder)
    #expect(FolderRemoval.empty(link).failureCount == 0)
    #expect(try Files.names(in: folder).isEmpty)
    try Files.makeDirectory(folder.appending("a/b"))
    try Files.remove(link.appending("a"))
    #expect(try Files.names(in: folder).isEmpty)
    try Files.replace(folder.appending("f"), with: [])
    let failure = try #require(FolderRemoval.empty(folder.appending("f")).failures.first)
    #expect(failure.description == "open \(folder)/f: Not a directory")
  }

  @Test("removes trees that are deeper than any path can be, and wide ones")
  func deep() throws {
    let depth = isSanitized ? 500 : 5000
    let name = String(repeating: "n", count: 200)
    for tree in 0..<2 {
      chain("\(name)\(tree)", depth: tree == 0 ? depth : 100) { descriptor, level in
        if level % 50 == 0 { #expect(mkdirat(descriptor, "sibling \(tree)", 0) == 0) }
      }
    }
    for number in 0..<(isSanitized ? 100 : 1000) {
      try Files.makeDirectory(folder.appending("wide/\(number)"))
      try Files.replace(folder.appending("wide/file \(number)"), with: [])
    }
    let before = try Files.names(in: "/proc/self/fd").count
    #expect(FolderRemoval.empty(folder) == FolderRemoval.Report())
    #expect(try Files.names(in: folder).isEmpty)
    // Other tests open files meanwhile, but not so many.
    #expect(try Files.names(in: "/proc/self/fd").count < before + 100)
  }

  @Test(
    "its owner's folders are made accessible, the folder itself included", .enabled(if: geteuid() == 0, "not root"),
    arguments: [0o500, 0o400, 0o000] as [UInt32])
  func modes(_ mode: UInt32) async throws {
    own(temporary.path, mode: 0o755)
    try Files.makeDirectory(folder.appending("a/b/c"))
    try Files.replace(folder.appending("a/b/f"), with: [])
    own(folder.appending("a/b/f"), mode: 0)
    for name in ["a/b/c", "a/b", "a", ""] { own(folder.appending(name), mode: mode) }
    let report = try await asNobody { [folder] in FolderRemoval.empty(folder) }
    #expect(report.failureCount == 0, "\(report)")
    #expect(try Files.names(in: folder).isEmpty)
  }

  @Test("another user's entries are named, and all else is removed", .enabled(if: geteuid() == 0, "not root"))
  func foreign() async throws {
    own(temporary.path, mode: 0o755)
    own(folder, mode: 0o755)
    for name in ["closed/sub", "open", "empty", "own/sub"] { try Files.makeDirectory(folder.appending(name)) }
    for name in ["open/file", "own/file", "own/sub/file", "z"] { try Files.replace(folder.appending(name), with: []) }
    own(folder.appending("own"), mode: 0o555)
    own(folder.appending("own/sub"), mode: 0o555)
    for name in ["closed", "empty"] { try Files.setPermissions(folder.appending(name), to: []) }
    let report = try await asNobody { [folder] in FolderRemoval.empty(folder) }
    #expect(
      Set(report.failures.map(\.description)) == [
        "open \(folder)/closed: Permission denied", "remove \(folder)/open/file: Permission denied",
      ])
    #expect(report.failureCount == 2)
    #expect(try Files.names(in: folder) == ["closed", "open"])
  }

  @Test("immutable entries are named, at most ten of them, and all else is removed", .enabled(if: Immutable.isAllowed))
  func immutable() throws {
    var held: [Immutable] = []
    for number in 0..<12 {
      try Files.makeDirectory(folder.appending("d\(number)/sub"))
      let file = folder.appending("d\(number)/sub/f")
      try Files.replace(file, with: [])
      try Files.replace(folder.appending("d\(number)/g"), with: [])
      held.append(try Immutable(file))
    }
    let report = FolderRemoval.empty(folder)
    #expect(report.failureCount == 12 && report.failures.count == 10)
    let reason = FolderRemoval.Failure.Reason.error(operation: "remove", .notPermitted)
    #expect(report.failures.allSatisfy { $0.reason == reason && $0.path.lastComponent == "f" })
    #expect(try Files.names(in: folder.appending("d1")) == ["sub"])
    #expect(throws: FileError("remove", folder.appending("d1/sub/f"), .notPermitted)) {
      try Files.remove(folder.appending("d1"))
    }
    held = []
    #expect(FolderRemoval.empty(folder).failureCount == 0)
  }

  // MARK: Mounts

  @Test(
    "never enters a mount, and names it unless it is known", .enabled(if: Mount.isAllowed),
    arguments: ["tmpfs", "bind mount", "bind mount of a file", "bind mount of itself"])
  func mounts(kind: String) throws {
    try Files.makeDirectory(folder.appending("a/mount"))
    try Files.replace(folder.appending("a/file"), with: [])
    try Files.replace(folder.appending("z"), with: [])
    var place = folder.appending("a/mount")
    var mount: Mount?
    switch kind {
    case "tmpfs":
      mount = try Mount(on: place, size: 1 << 20)
      try Files.replace(place.appending("inside"), with: [])
    case "bind mount": mount = try Mount(of: outside, on: place)
    case "bind mount of itself":
      try Files.replace(place.appending("inside"), with: [])
      mount = try Mount(of: place, on: place)
    default:
      place = folder.appending("a/file")
      mount = try Mount(of: outside.appending("file"), on: place)
    }
    let before = try? Files.names(in: place)
    #expect(try MountPoints.below(folder) == [FilePath("a").appending(place.lastComponent?.string ?? "")])
    let known = FolderRemoval.empty(folder, mountPoints: try MountPoints.below(folder))
    #expect(known.failureCount == 0, "\(known)")
    #expect(try Files.names(in: folder) == ["a"])
    try Files.replace(folder.appending("z"), with: [])
    let report = FolderRemoval.empty(folder)
    #expect(report.failures.map(\.description) == ["\(place) is a mount point"] && report.failureCount == 1)
    #expect(try Files.names(in: folder) == ["a"])
    #expect(throws: FileError("remove", place, .resourceBusy)) { try Files.remove(folder.appending("a")) }
    #expect((try? Files.names(in: place)) == before)
    try expectOutside()
    withExtendedLifetime(mount) {}
    mount = nil
    #expect(FolderRemoval.empty(folder).failureCount == 0)
    #expect(try Files.names(in: folder).isEmpty)
  }

  @Test("the folder itself may be a mount", .enabled(if: Mount.isAllowed))
  func mountedRoot() throws {
    let mount = try Mount(of: outside, on: folder)
    #expect(FolderRemoval.empty(folder).failureCount == 0)
    #expect(try Files.names(in: outside).isEmpty)
    withExtendedLifetime(mount) {}
  }

  @Test("a mount whose server never answers is named", .enabled(if: Mount.isFUSEAllowed, "there is no /dev/fuse"))
  func hangingMount() throws {
    let place = folder.appending("mount")
    try Files.makeDirectory(place)
    let mount = try Mount(hangingOn: place)
    #expect(FolderRemoval.empty(folder).failures.map(\.description) == ["\(place) is a mount point"])
    withExtendedLifetime(mount) {}
  }

  @Test("knows the mount of a file without statx as well")
  func mountID() throws {
    for path in [folder.string, "/proc", "/"] {
      let descriptor = open(path, O_RDONLY, 0)
      defer { close(descriptor) }
      let id = try #require(FolderRemoval.mountID(of: descriptor))
      #expect(FolderRemoval.mountIDFromProc(of: descriptor) == id)
    }
    #expect(FolderRemoval.mountIDFromProc(of: -1) == nil)
  }

  @Test("reads the table of mounts")
  func table() {
    let table = #"""
      36 35 98:0 / /pool/1 rw,noatime master:1 - ext3 /dev/root rw
      37 36 0:30 / /pool/1/tmp rw - tmpfs tmpfs rw
      38 36 0:30 /x /pool/1/a\040b\134\012/c rw - tmpfs tmpfs rw
      39 36 0:30 / /pool/10/tmp rw - tmpfs tmpfs rw
      40 36 0:30 / /pool/1/odd\04 rw - tmpfs tmpfs rw
      41 36

      """#
    #expect(MountPoints.below("/pool/1", in: Array(table.utf8)) == ["tmp", "a b\\\n/c", "odd\\04"])
  }

  // MARK: Others at work

  /// Runs `attack` over and over on a thread of its own while `body` runs.
  func attacked(by attack: @escaping @Sendable () -> Void, _ body: () throws -> Void) async throws {
    let isOver = Guarded(false)
    let lane = try IOLane(name: "attack")
    let hasEnded = Latch<Void>()
    lane.submit {
      while !isOver.withLock({ $0 }) { attack() }
      hasEnded.open(with: ())
    }
    let result = Result(catching: body)
    isOver.withLock { $0 = true }
    try await hasEnded.reached()
    try result.get()
  }

  @Test("links that take the place of folders are never followed")
  func links() async throws {
    let (place, spare, target) = (folder.appending("a/b"), temporary.path.appending("spare"), outside)
    try Files.makeDirectory(spare)
    try await attacked(by: {
      try? Files.makeDirectory(place)
      try? Files.replace(place.appending("file"), with: [])
      try? Files.move(place, to: spare.appending("b"))
      try? Files.symbolicLink(place, to: target)
      _ = place.withPlatformString { unlink($0) }
      try? Files.move(spare.appending("b"), to: place)
    }) {
      for _ in 0..<(isSanitized ? 50 : 500) { _ = FolderRemoval.empty(folder) }
    }
    try expectOutside()
    #expect(FolderRemoval.empty(folder).failureCount == 0)
  }

  @Test("a deep folder that is moved away takes the removal nowhere else")
  func moved() async throws {
    let middle = folder.string + String(repeating: "/d", count: 100)
    let (from, to) = (middle + "/d", outside.appending("d").string)
    var failure: FolderRemoval.Failure?
    // The removal may be at the bottom and back before the folder is moved.
    for _ in 0..<1000 where failure == nil {
      chain("d", depth: 1000) { descriptor, level in
        if level == 100 { close(openat(descriptor, "marker", O_WRONLY | O_CREAT, 0)) }
      }
      // The marker goes on the way down.
      try await attacked(by: { if access(middle + "/marker", F_OK) != 0 { rename(from, to) } }) {
        failure = FolderRemoval.empty(folder).failures.first
      }
      try Files.remove(FilePath(to))
      try expectOutside()
    }
    #expect(failure?.reason == .error(operation: "open the folder above", .staleNFSFileHandle))
    #expect(FolderRemoval.empty(folder).failureCount == 0)
  }

  @Test("a folder that is filled while it is emptied does not keep the removal for ever")
  func filled() async throws {
    let folder = folder
    let number = Guarded(0)
    try await attacked(by: {
      let name = number.withLock { number in
        number += 1
        return "a/\(number)/b"
      }
      try? Files.makeDirectory(folder.appending(name))
    }) { _ = FolderRemoval.empty(folder) }
    #expect(FolderRemoval.empty(folder).failureCount == 0)
    #expect(try Files.names(in: folder).isEmpty)
  }
}

/// A file that nobody can change or remove until the last reference to this is gone.
private final class Immutable: Sendable {
  private let path: FilePath

  static let isAllowed: Bool = {
    guard let folder = try? TemporaryFolder() else { return false }
    let file = folder.path.appending("f")
    return (try? Files.replace(file, with: [])) != nil && (try? Immutable(file)) != nil
  }()

  init(_ path: FilePath) throws {
    self.path = path
    guard Immutable.set(path, 0x10) else { throw FileError("change flags of", path, Errno(rawValue: errno)) }
  }

  deinit { _ = Immutable.set(path, 0) }

  /// FS_IOC_SETFLAGS.
  private static func set(_ path: FilePath, _ value: Int) -> Bool {
    let descriptor = path.withPlatformString { open($0, O_RDONLY | O_CLOEXEC, 0) }
    defer { close(descriptor) }
    var flags = value
    return ioctl(descriptor, 0x4008_6602, &flags) == 0
  }
}
