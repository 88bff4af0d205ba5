import Glibc
public import SystemPackage

/// A call on the file system failed.
public struct FileError: Error, Hashable, CustomStringConvertible {
  /// What was tried: `open`, `link`, …
  public var operation: String
  /// What it was tried on.
  public var path: FilePath
  /// The system's reason.
  public var errno: Errno

  /// An error of `operation` on `path`.
  public init(_ operation: String, _ path: FilePath, _ errno: Errno) {
    self.operation = operation
    self.path = path
    self.errno = errno
  }

  /// Whether ``Files/readOwn(_:limit:)`` has found what somebody else may have put there.
  public var isDistrust: Bool { [.notPermitted, .tooManySymbolicLinkLevels, .invalidArgument].contains(errno) }

  /// One line for the log: `open /x: No such file or directory`.
  public var description: String { "\(operation) \(path): \(errno)" }
}

/// Plain, blocking calls on the file system, for an ``IOLane`` or a thread of our own.
public enum Files {
  /// What `stat` says of a file.
  public struct Status: Sendable, Hashable {
    /// What kind of thing it is.
    public enum Kind: Sendable, Hashable {
      case file
      case directory
      case symbolicLink
      /// A fifo, socket or device.
      case other
    }

    /// What it is.
    public var kind: Kind
    /// Bytes.
    public var size: Int64
    /// Seconds and nanoseconds since 1970, to tell changes by.
    public var modified: [Int]
    /// The device and inode that the name stands for.
    public var identity: [UInt64]
    /// Who may do what with it.
    public var permissions: FilePermissions
  }

  /// The status of what `path` names, or nil if it names nothing.
  /// - Parameter followsLinks: whether a symbolic link stands for its target.
  public static func status(of path: FilePath, followsLinks: Bool = true) -> Status? {
    var raw = stat()
    guard path.withPlatformString({ fstatat(AT_FDCWD, $0, &raw, followsLinks ? 0 : AT_SYMLINK_NOFOLLOW) }) == 0 else {
      return nil
    }
    return Status(raw)
  }

  /// Whether `path` names something, be it a link to nowhere.
  public static func exists(_ path: FilePath) -> Bool { status(of: path, followsLinks: false) != nil }

  /// The content of the plain file at `path`, nil if there is none.
  /// - Parameter limit: the most bytes that are taken; a larger file throws `EFBIG`.
  /// - Throws: ``FileError``; `EINVAL` for anything but a plain file, which is not opened in a way that could hang.
  public static func read(_ path: FilePath, limit: Int = 64 << 20) throws(FileError) -> [UInt8]? {
    try read(path, limit: limit, isOwn: false)
  }

  /// The content of the plain file at `path`, which nobody but this user can have written; nil if there is none.
  /// - Parameter limit: the most bytes that are taken; a larger file throws `EFBIG`.
  /// - Throws: ``FileError``; `EPERM` if it or its folder belongs to another user or may be written by others, `ELOOP` if it
  ///   is a link, `EINVAL` for anything else but a plain file.
  public static func readOwn(_ path: FilePath, limit: Int = 64 << 20) throws(FileError) -> [UInt8]? {
    var folder = stat()
    let isThere = path.removingLastComponent().withPlatformString { lstat($0, &folder) } == 0
    if isThere, !isOwn(folder) { throw FileError("read", path, .notPermitted) }
    return try read(path, limit: limit, isOwn: true)
  }

  /// Whether nobody but this user can have written it.
  private static func isOwn(_ raw: stat) -> Bool { raw.st_uid == geteuid() && raw.st_mode & 0o022 == 0 }

  private static func read(_ path: FilePath, limit: Int, isOwn mustBeOwn: Bool) throws(FileError) -> [UInt8]? {
    let handle: FileDescriptor
    do {
      let options: FileDescriptor.OpenOptions = [.nonBlocking, .closeOnExec]
      handle = try FileDescriptor.open(path, .readOnly, options: mustBeOwn ? options.union(.noFollow) : options)
    } catch {
      if (error as? Errno) == .noSuchFileOrDirectory { return nil }
      throw FileError("open", path, Errno(error))
    }
    defer { try? handle.close() }
    var raw = stat()
    guard fstat(handle.rawValue, &raw) == 0 else { throw FileError("stat", path, Errno(rawValue: Glibc.errno)) }
    guard Status(raw).kind == .file else { throw FileError("read", path, .invalidArgument) }
    if mustBeOwn, !isOwn(raw) { throw FileError("read", path, .notPermitted) }
    guard raw.st_size <= limit else { throw FileError("read", path, .fileTooLarge) }
    var content: [UInt8] = []
    // Room for more than there is said to be, so that the end shows.
    // Bounded: by the limit, which no caller sets to the largest number there is.
    var pieceSize = max(Int(raw.st_size) + 1, 4096)
    do {
      while content.count <= limit {
        let piece = try [UInt8](unsafeUninitializedCapacity: pieceSize) { buffer, count in
          count = try handle.read(into: UnsafeMutableRawBufferPointer(buffer))
        }
        if piece.isEmpty { return content }
        if content.isEmpty { content = piece } else { content.append(contentsOf: piece) }
        pieceSize = 1 << 16
      }
    } catch {
      throw FileError("read", path, Errno(error))
    }
    throw FileError("read", path, .fileTooLarge)
  }

  /// The bytes of the plain file at `path` after the first `offset`, at most `limit`; none if there is no such file.
  /// - Throws: ``FileError``.
  public static func read(_ path: FilePath, from offset: Int64, limit: Int) throws(FileError) -> [UInt8] {
    guard status(of: path)?.kind == .file else { return [] }
    do {
      let handle = try FileDescriptor.open(path, .readOnly, options: [.nonBlocking, .closeOnExec])
      return try handle.closeAfter {
        try [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
          count = try handle.read(fromAbsoluteOffset: offset, into: UnsafeMutableRawBufferPointer(buffer))
        }
      }
    } catch {
      throw FileError("read", path, Errno(error))
    }
  }

  /// Writes `content` to a new file that takes the place of `path` in one step.
  /// - Throws: ``FileError``.
  public static func replace(
    _ path: FilePath, with content: some Sequence<UInt8>, permissions: FilePermissions = .init(rawValue: 0o644)
  ) throws(FileError) {
    let (folder, name) = parts(of: path)
    let temporary = FilePath(platformString: folder + [CChar(UInt8(ascii: "."))] + name + ".new".utf8CString)
    do {
      let handle = try FileDescriptor.open(
        temporary, .writeOnly, options: [.create, .truncate, .closeOnExec, .noFollow], permissions: permissions)
      try handle.closeAfter { _ = try handle.writeAll(content) }
    } catch {
      throw FileError("write", path, Errno(error))
    }
    try move(temporary, to: path)
  }

  /// Gives a file another name on the same file system, in the place of what had it.
  /// - Throws: ``FileError``.
  public static func move(_ source: FilePath, to path: FilePath) throws(FileError) {
    guard source.withPlatformString({ from in path.withPlatformString { rename(from, $0) } }) == 0 else {
      throw FileError("rename to", path, Errno(rawValue: Glibc.errno))
    }
  }

  /// Appends `content` to the file at `path`, which is created if it is not there.
  /// - Throws: ``FileError``.
  public static func append(_ content: some Sequence<UInt8>, to path: FilePath) throws(FileError) {
    do {
      let handle = try FileDescriptor.open(
        path, .writeOnly, options: [.create, .append, .closeOnExec], permissions: .init(rawValue: 0o644))
      try handle.closeAfter { _ = try handle.writeAll(content) }
    } catch {
      throw FileError("write", path, Errno(error))
    }
  }

  /// What is in a directory, in the byte order of the names, `.` and `..` left out; nothing if there is no such directory.
  /// - Throws: ``FileError``.
  public static func entries(in directory: FilePath) throws(FileError) -> [FilePath] {
    guard let stream = directory.withPlatformString({ opendir($0) }) else {
      if Glibc.errno == ENOENT { return [] }
      throw FileError("open", directory, Errno(rawValue: Glibc.errno))
    }
    defer { closedir(stream) }
    var names: [[CChar]] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) {
          Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
        }
      }
      if name != [46, 0], name != [46, 46, 0] { names.append(name) }
    }
    names.sort { $0.lexicographicallyPrecedes($1) { UInt8(bitPattern: $0) < UInt8(bitPattern: $1) } }
    let slash = CChar(UInt8(ascii: "/"))
    var folder = directory.withPlatformString { Array(UnsafeBufferPointer(start: $0, count: strlen($0))) }
    if let last = folder.last, last != slash { folder.append(slash) }
    return names.map { FilePath(platformString: folder + $0) }
  }

  /// The names in a directory in their byte order, `.` and `..` left out; none if there is no such directory. A name need
  /// not be text: to open whatever there is, ask for ``entries(in:)``.
  /// - Throws: ``FileError``.
  public static func names(in directory: FilePath) throws(FileError) -> [String] {
    try entries(in: directory).map { name(of: $0) }
  }

  /// The last component of a path as text; a name that is no UTF-8 is read as Latin-1.
  public static func name(of path: FilePath) -> String { text(of: parts(of: path).name) }

  /// A name as text; one that is no UTF-8 is read as Latin-1.
  static func text(of name: [CChar]) -> String {
    let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(validating: bytes, as: UTF8.self) ?? String(decoding: bytes.map { UInt16($0) }, as: UTF16.self)
  }

  /// A path up to its last slash, and what is behind it. `FilePath` says the same, but looks at every component for it.
  private static func parts(of path: FilePath) -> (folder: [CChar], name: [CChar]) {
    path.withPlatformString { text in
      let whole = UnsafeBufferPointer(start: text, count: strlen(text))
      let start = whole.lastIndex(of: CChar(UInt8(ascii: "/"))).map { $0 + 1 } ?? 0
      return (Array(whole[..<start]), Array(whole[start...]))
    }
  }

  /// Makes a directory and those above it.
  /// - Throws: ``FileError`` unless it is there in the end.
  public static func makeDirectory(_ path: FilePath) throws(FileError) {
    if path.withPlatformString({ mkdir($0, 0o755) }) == 0 { return }
    let code = Glibc.errno
    switch code {
    case EEXIST where status(of: path)?.kind == .directory: return
    case ENOENT:
      let parent = path.removingLastComponent()
      guard parent != path, !parent.isEmpty else { throw FileError("create", path, Errno(rawValue: code)) }
      try makeDirectory(parent)
      guard path.withPlatformString({ mkdir($0, 0o755) }) == 0 || Glibc.errno == EEXIST else {
        throw FileError("create", path, Errno(rawValue: Glibc.errno))
      }
    default: throw FileError("create", path, Errno(rawValue: code))
    }
  }

  /// Sets who may do what with a file.
  /// - Throws: ``FileError``.
  public static func setPermissions(_ path: FilePath, to permissions: FilePermissions) throws(FileError) {
    guard path.withPlatformString({ chmod($0, permissions.rawValue) }) == 0 else {
      throw FileError("change mode of", path, Errno(rawValue: Glibc.errno))
    }
  }

  /// Removes whatever `path` names, a directory with all that is in it; links are removed, never followed, and mounts never
  /// entered (``FolderRemoval``).
  /// - Throws: ``FileError`` for the first thing that could not be removed. All else is removed.
  public static func remove(_ path: FilePath) throws(FileError) {
    if path.withPlatformString({ unlink($0) }) == 0 || Glibc.errno == ENOENT { return }
    let code = Glibc.errno
    guard status(of: path, followsLinks: false)?.kind == .directory else {
      throw FileError("remove", path, Errno(rawValue: code))
    }
    let (folder, name) = parts(of: path)
    let report = FolderRemoval.remove(name + [0], in: FilePath(platformString: folder + [0]))
    switch report.failures.first?.reason {
    case .error(let operation, let errno): throw FileError(operation, report.failures[0].path, errno)
    case .isMountPoint: throw FileError("remove", report.failures[0].path, .resourceBusy)
    case nil: return
    }
  }

  /// Makes `path` a symbolic link to `target`.
  /// - Throws: ``FileError``.
  public static func symbolicLink(_ path: FilePath, to target: FilePath) throws(FileError) {
    guard target.withPlatformString({ from in path.withPlatformString { symlink(from, $0) } }) == 0 else {
      throw FileError("symlink", path, Errno(rawValue: Glibc.errno))
    }
  }

  /// Makes `path` another name of the file `source`.
  /// - Throws: ``FileError``.
  public static func hardLink(_ path: FilePath, to source: FilePath) throws(FileError) {
    guard source.withPlatformString({ from in path.withPlatformString { link(from, $0) } }) == 0 else {
      throw FileError("link", path, Errno(rawValue: Glibc.errno))
    }
  }

  /// The digest of the regular file at `path`, raw.
  /// - Parameter limit: the most bytes that are read; a larger file throws `EFBIG`.
  /// - Throws: ``FileError``; `EINVAL` for anything but a regular file: a device could have no end.
  public static func digest(_ digest: Digest, of path: FilePath, limit: Int64 = .max) throws(FileError) -> [UInt8] {
    do {
      let handle = try FileDescriptor.open(path, .readOnly, options: [.nonBlocking, .closeOnExec])
      return try handle.closeAfter {
        var raw = stat()
        guard fstat(handle.rawValue, &raw) == 0 else { throw Errno(rawValue: Glibc.errno) }
        guard Status(raw).kind == .file else { throw Errno.invalidArgument }
        guard raw.st_size <= limit else { throw Errno.fileTooLarge }
        var hasher = Digest.Hasher(digest)
        while true {
          let piece = try [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
            count = try handle.read(into: UnsafeMutableRawBufferPointer(buffer))
          }
          if piece.isEmpty { return hasher.finish() }
          hasher.update(piece)
        }
      }
    } catch {
      throw FileError("read", path, Errno(error))
    }
  }
}

extension Files.Status {
  fileprivate init(_ raw: stat) {
    kind =
      switch raw.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .directory
      case S_IFLNK: .symbolicLink
      default: .other
      }
    size = Int64(raw.st_size)
    modified = [raw.st_mtim.tv_sec, raw.st_mtim.tv_nsec]
    identity = [UInt64(raw.st_dev), UInt64(raw.st_ino)]
    permissions = FilePermissions(rawValue: raw.st_mode & 0o7777)
  }
}

extension Errno {
  /// swift-system throws nothing but `Errno`, untyped.
  fileprivate init(_ error: any Error) { self = error as? Errno ?? .ioError }
}

extension Files {
  /// The working directory of this process; `/` if it has been removed.
  public static var currentDirectory: FilePath {
    guard let path = getcwd(nil, 0) else { return "/" }
    defer { free(path) }
    return FilePath(platformString: path)
  }

  /// Where the symbolic link `path` points to, as it is written there; nil if it is none.
  public static func linkTarget(_ path: FilePath) -> FilePath? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    guard path.withPlatformString({ readlink($0, &buffer, Int(PATH_MAX)) }) >= 0 else { return nil }
    return FilePath(platformString: buffer)
  }
}

extension Files {
  /// The path of what `path` names without any links in it; nil if it names nothing.
  public static func realPath(of path: FilePath) -> FilePath? {
    guard let real = path.withPlatformString({ realpath($0, nil) }) else { return nil }
    defer { free(real) }
    return FilePath(platformString: real)
  }

  /// Writes so many bytes to a file of no name in `folder`, to the disk, and gives them back.
  /// - Throws: ``FileError`` if that cannot be done.
  public static func probeWriting(in folder: FilePath, size: Int) throws(FileError) {
    let file = folder.appending(".write-probe-\(getpid())-\(UInt64.random(in: 0 ... .max))")
    do {
      let handle = try FileDescriptor.open(
        file, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec, .noFollow], permissions: .ownerReadWrite)
      // Before it is written, so that nothing stays if this process is killed.
      _ = file.withPlatformString { unlink($0) }
      try handle.closeAfter {
        _ = try handle.writeAll([UInt8](repeating: 0, count: size))
        // A file system may accept bytes that it has no room for.
        guard fsync(handle.rawValue) == 0 else { throw Errno(rawValue: Glibc.errno) }
      }
    } catch {
      throw FileError("write to", folder, Errno(error))
    }
  }

  /// Bytes that this process can still write to the file system that `path` is on.
  /// - Throws: ``FileError``.
  public static func freeSpace(at path: FilePath) throws(FileError) -> Int64 {
    var info = statvfs()
    guard path.withPlatformString({ statvfs($0, &info) }) == 0 else {
      throw FileError("look for free space at", path, Errno(rawValue: Glibc.errno))
    }
    return Int64(clamping: UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize)).partialValue)
  }
}
