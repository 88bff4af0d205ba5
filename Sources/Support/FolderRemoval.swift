import CLinux
import Glibc
public import SystemPackage

/// Removes the contents of a folder that others may have filled, and may still change.
///
/// Entries are removed relative to a descriptor of their folder. So paths of any length work, links are never followed, and
/// nothing outside is removed even if another process moves folders or replaces them by links. Folders get u+rwx on the way.
/// After an error the removal goes on with the next entry. Mounts are never entered, including bind mounts of the same file
/// system.
///
/// The number of open descriptors is bounded. Depth costs no stack; memory grows with the names of the folders that are yet
/// to be removed. All calls block.
public struct FolderRemoval {
  /// An entry that could not be removed.
  public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    /// Why an entry could not be removed.
    public enum Reason: Sendable, Hashable {
      /// A call failed, such as `open`.
      case error(operation: String, Errno)
      /// Something is mounted on it.
      case isMountPoint
    }

    /// The entry; the middle of a path of very many components is left out.
    public var path: FilePath
    /// Why it stays.
    public var reason: Reason

    /// One line for the log.
    public var description: String {
      switch reason {
      case .error(let operation, let errno): "\(operation) \(path): \(errno)"
      case .isMountPoint: "\(path) is a mount point"
      }
    }
  }

  /// The result of a removal: the entries that stay.
  public struct Report: Sendable, Hashable {
    /// The first failures, at most ten.
    public fileprivate(set) var failures: [Failure] = []
    /// The number of all failures.
    public fileprivate(set) var failureCount = 0
  }

  /// Empties a folder. A folder that does not exist is empty.
  /// - Parameters:
  ///   - isKept: whether the entry of this name, directly in the folder, stays.
  ///   - mountPoints: paths relative to the folder at which something may be mounted. It stays, and is no failure.
  /// - Returns: what could not be removed.
  public static func empty(
    _ folder: FilePath, mountPoints: Set<FilePath> = [], keeping isKept: (String) -> Bool = { _ in false }
  ) -> Report {
    var removal = FolderRemoval(of: folder, mountPoints: mountPoints)
    if removal.begin(FolderRemoval.open(folder)) {
      removal.run { removal in removal.list(keeping: isKept) }
    }
    return removal.report
  }

  /// Removes the directory `name` of a folder, with all that is in it. One that does not exist is removed.
  static func remove(_ name: [CChar], in folder: FilePath) -> Report {
    var removal = FolderRemoval(of: folder, mountPoints: [])
    // The folder above need not be readable. The dot lets a link stand for its target.
    let place = folder.appending(".").withPlatformString { clinux_open_place(AT_FDCWD, $0, true) }
    if removal.begin(place) {
      removal.run { removal in removal.levels[0].pending = name }
    }
    return removal.report
  }

  /// A folder on the path from the root to the entry that is being removed.
  private struct Level {
    /// The NUL-terminated name in the parent folder.
    var name: [CChar]
    /// -1 while it is closed.
    var descriptor: Int32
    var identity: Identity
    /// The NUL-terminated names of the subfolders that are yet to be entered.
    var pending: [CChar] = []
    var hasRemoved = false
    /// An entry of it stays.
    var isKept = false
    /// The number of times that it was listed.
    var passes = 0

    /// Whether to list the folder again: an entry may have been added, or the file system has skipped one.
    var isWorthAnotherPass: Bool { !isKept && (1..<FolderRemoval.maximumPasses).contains(passes) }

    mutating func nextPending() -> [CChar]? {
      guard !pending.isEmpty else { return nil }
      let start = pending.dropLast().lastIndex(of: 0).map { $0 + 1 } ?? 0
      defer { pending.removeSubrange(start...) }
      return Array(pending[start...])
    }
  }

  /// Identifies a folder independently of its name.
  private struct Identity: Hashable {
    var device: UInt64
    var inode: UInt64
    var mount: UInt64

    init(_ status: stat, _ mount: UInt64) {
      (device, inode, self.mount) = (UInt64(status.st_dev), UInt64(status.st_ino), mount)
    }
  }

  /// The depth down to which folders stay open. Deeper ones are reopened by `..`.
  private static let maximumOpenDepth = 16
  /// The number of times a folder is listed that is filled as fast as it is emptied.
  private static let maximumPasses = 100
  private static let maximumReports = 10
  private static let bufferSize = 1 << 15

  private let root: FilePath
  private let mountPoints: Set<FilePath>
  private var levels: [Level] = []
  private var report = Report()

  private init(of root: FilePath, mountPoints: Set<FilePath>) { (self.root, self.mountPoints) = (root, mountPoints) }

  /// The index of the innermost folder.
  private var top: Int { levels.count - 1 }

  // MARK: Walking

  private mutating func run(_ list: (inout FolderRemoval) -> Void) {
    list(&self)
    while !levels.isEmpty {
      if let name = levels[top].nextPending() {
        enter(name)
      } else if levels.count > 1 {
        leave()
      } else if levels[top].hasRemoved, levels[top].isWorthAnotherPass {
        list(&self)
      } else {
        close(levels[top].descriptor)
        levels.removeLast()
      }
    }
  }

  /// Opens the root, or returns a negative errno value.
  private static func open(_ root: FilePath) -> Int32 {
    let (path, flags) = (root.isEmpty ? "." : root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    var descriptor = path.withPlatformString { Glibc.open($0, flags, 0) }
    var status = stat()
    if descriptor < 0, errno == EACCES, path.withPlatformString({ stat($0, &status) }) == 0 {
      // The owner can let itself in.
      _ = path.withPlatformString { chmod($0, status.st_mode & 0o7777 | S_IRWXU) }
      descriptor = path.withPlatformString { Glibc.open($0, flags, 0) }
    }
    guard descriptor >= 0 else { return -errno }
    if fstat(descriptor, &status) == 0, status.st_mode & S_IRWXU != S_IRWXU {
      fchmod(descriptor, status.st_mode & 0o7777 | S_IRWXU)
    }
    return descriptor
  }

  /// Takes over the descriptor of the root, or a negative errno value.
  private mutating func begin(_ descriptor: Int32) -> Bool {
    guard descriptor >= 0 else {
      if descriptor != -ENOENT { note(.error(operation: "open", Errno(rawValue: -descriptor))) }
      return false
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0, let mount = FolderRemoval.mountID(of: descriptor) else {
      note(.error(operation: "stat", Errno(rawValue: errno)))
      close(descriptor)
      return false
    }
    levels = [Level(name: [], descriptor: descriptor, identity: Identity(status, mount))]
    return true
  }

  /// Removes the entries of the innermost folder but for the folders in it, which are noted.
  private mutating func list(keeping isKept: (String) -> Bool = { _ in false }) {
    levels[top].passes += 1
    levels[top].hasRemoved = false
    let descriptor = levels[top].descriptor
    guard lseek(descriptor, 0, SEEK_SET) == 0 else { return fail("read", errno) }
    let isRoot = levels.count == 1
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: FolderRemoval.bufferSize, alignment: 8)
    defer { buffer.deallocate() }
    while true {
      let count = clinux_read_entries(descriptor, buffer.baseAddress, buffer.count)
      // A folder that was removed meanwhile has nothing in it.
      if count == 0 || count == -Int(ENOENT) { return }
      guard count > 0 else { return fail("read", Int32(-count)) }
      for entry in DirectoryEntries(UnsafeRawBufferPointer(rebasing: buffer[..<count])) {
        if isRoot, isKept(Files.text(of: entry.name)) { continue }
        if entry.isDirectory { levels[top].pending += entry.name } else { unlink(entry.name) }
      }
    }
  }

  /// Removes what is no folder; a folder is noted.
  private mutating func unlink(_ name: [CChar], notesFolders: Bool = true) {
    if unlinkat(levels[top].descriptor, name, 0) == 0 {
      levels[top].hasRemoved = true
      return
    }
    switch errno {
    case ENOENT: return
    case EISDIR where notesFolders: levels[top].pending += name
    case let code: fail("remove", code, at: name)
    }
  }

  private mutating func enter(_ name: [CChar]) {
    let parent = levels[top].descriptor
    let place = clinux_open_place(parent, name, true)
    guard place >= 0 else {
      switch -place {
      case ENOENT: return
      case ENOTDIR, ELOOP:
        // Something else has taken its place.
        unlink(name, notesFolders: false)
      default: fail("open", -place, at: name)
      }
      return
    }
    defer { close(place) }
    // First of all: a file system that is mounted there need not answer anything else.
    let mount = FolderRemoval.mountID(of: place)
    guard let mount, mount == levels[0].identity.mount else {
      return mount == nil ? fail("stat", errno, at: name) : meetMount(name)
    }
    var status = stat()
    guard fstat(place, &status) == 0 else { return fail("stat", errno, at: name) }
    if status.st_mode & S_IRWXU != S_IRWXU {
      // By the descriptor, since a link may take the place of the name.
      _ = chmod("/proc/self/fd/\(place)", status.st_mode & 0o7777 | S_IRWXU)
    }
    let descriptor = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard descriptor >= 0 else {
      let code = errno
      // One that is empty need not be looked into.
      if unlinkat(parent, name, AT_REMOVEDIR) != 0 { return fail("open", code, at: name) }
      levels[top].hasRemoved = true
      return
    }
    if levels.count > FolderRemoval.maximumOpenDepth {
      close(parent)
      levels[top].descriptor = -1
    }
    levels.append(Level(name: name, descriptor: descriptor, identity: Identity(status, mount)))
    list()
  }

  /// Removes the innermost folder, which is listed again if it has been emptied and is not empty.
  private mutating func leave() {
    let level = levels[top]
    let above = top - 1
    if levels[above].descriptor < 0 {
      guard let descriptor = openParent(of: level, as: levels[above].identity) else { return }
      levels[above].descriptor = descriptor
    }
    let isRemoved = unlinkat(levels[above].descriptor, level.name, AT_REMOVEDIR) == 0
    let code = isRemoved ? 0 : errno
    let isFilled = code == ENOTEMPTY || code == EEXIST
    if isFilled, level.isWorthAnotherPass {
      if above >= FolderRemoval.maximumOpenDepth {
        close(levels[above].descriptor)
        levels[above].descriptor = -1
      }
      return list()
    }
    close(level.descriptor)
    levels.removeLast()
    if isRemoved {
      levels[top].hasRemoved = true
    } else if isFilled, level.isKept {
      levels[top].isKept = true
    } else if code != ENOENT {
      fail("remove", code, at: level.name)
    }
  }

  /// Reopens the parent folder, which was closed on the way down. If the innermost folder has been moved elsewhere, the
  /// removal continues in the closest ancestor that is still open.
  private mutating func openParent(of level: Level, as identity: Identity) -> Int32? {
    let descriptor = openat(level.descriptor, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0)
    var code = descriptor < 0 ? errno : 0
    if descriptor >= 0 {
      var status = stat()
      if fstat(descriptor, &status) == 0, let mount = FolderRemoval.mountID(of: descriptor),
        Identity(status, mount) == identity
      {
        return descriptor
      }
      close(descriptor)
      code = ESTALE
    }
    fail("open the folder above", code)
    close(level.descriptor)
    levels.removeLast()
    while levels[top].descriptor < 0 { levels.removeLast() }
    levels[top].isKept = true
    return nil
  }

  // MARK: Failures

  private mutating func meetMount(_ name: [CChar]) {
    levels[top].isKept = true
    // Without a slash at the beginning, since the root has no name.
    let components = (levels.dropFirst().map(\.name) + [name]).compactMap { FilePath(platformString: $0).lastComponent }
    if !mountPoints.contains(FilePath(root: nil, components)) {
      note(.isMountPoint, at: name)
    }
  }

  /// Notes that an entry of the innermost folder, or the folder itself, stays.
  private mutating func fail(_ operation: String, _ code: Int32, at name: [CChar]? = nil) {
    levels[top].isKept = true
    if code == EBUSY, let name, isMountPoint(name) { return meetMount(name) }
    note(.error(operation: operation, Errno(rawValue: code)), at: name)
  }

  private mutating func note(_ reason: Failure.Reason, at name: [CChar]? = nil) {
    report.failureCount += 1
    if report.failures.count < FolderRemoval.maximumReports {
      report.failures.append(Failure(path: path(of: name), reason: reason))
    }
  }

  /// Whether something is mounted on an entry of the innermost folder, which may be a file.
  private func isMountPoint(_ name: [CChar]) -> Bool {
    let place = clinux_open_place(levels[top].descriptor, name, false)
    guard place >= 0 else { return false }
    defer { close(place) }
    return FolderRemoval.mountID(of: place).map { $0 != levels[0].identity.mount } ?? false
  }

  private func path(of name: [CChar]?) -> FilePath {
    var names = levels.dropFirst().map(\.name) + [name].compactMap { $0 }
    if names.count > 32 { names.replaceSubrange(16..<(names.count - 8), with: ["…".utf8CString.map { $0 }]) }
    return root.appending(names.compactMap { FilePath(platformString: $0).lastComponent })
  }

  // MARK: Mounts

  /// The id of the mount that an open file is on; nil, with `errno`, if it cannot be known.
  static func mountID(of descriptor: Int32) -> UInt64? {
    var id: UInt64 = 0
    return clinux_mount_id(descriptor, &id) == 0 ? id : mountIDFromProc(of: descriptor)
  }

  /// Returns the mount ID from `/proc`, for kernels before 5.8.
  static func mountIDFromProc(of descriptor: Int32) -> UInt64? {
    let content = try? Files.read(FilePath("/proc/self/fdinfo/\(descriptor)"), limit: 1 << 16)
    let lines = String(decoding: content ?? [], as: UTF8.self).split(separator: "\n")
    let id = lines.first { $0.hasPrefix("mnt_id:") }.flatMap { UInt64($0.dropFirst("mnt_id:".count).trimmed) }
    if id == nil { errno = ENOSYS }
    return id
  }
}

/// The records of `clinux_read_entries`, but for `.` and `..`.
private struct DirectoryEntries: Sequence, IteratorProtocol {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func next() -> (name: [CChar], isDirectory: Bool)? {
    // The name is behind 19 bytes.
    while let base = bytes.baseAddress, offset + 19 < bytes.count {
      let record = base + offset
      let length = Int(record.loadUnaligned(fromByteOffset: 16, as: UInt16.self))
      guard length > 19, offset + length <= bytes.count else { return nil }
      offset += length
      let text = UnsafeRawBufferPointer(start: record + 19, count: length - 19).bindMemory(to: CChar.self)
      guard let start = text.baseAddress else { return nil }
      var name = [CChar](UnsafeBufferPointer(start: start, count: Int(strnlen(start, text.count - 1))))
      name.append(0)
      if name == [46, 0] || name == [46, 46, 0] { continue }
      return (name, record.load(fromByteOffset: 18, as: UInt8.self) == UInt8(DT_DIR))
    }
    return nil
  }
}
