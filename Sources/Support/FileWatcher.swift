import CLinux
import Glibc
public import SystemPackage

/// Watches folders through one inotify instance, of which a user has few (128), on a thread of its own that ends with this.
///
/// Where the system has no more to give, watches say ``FolderEvent/unavailable``; a change is never waited for by looking.
public final class FileWatcher: Sendable {
  private struct State {
    var inotify: Inotify?
    var isTroubleTold = false
  }

  private let state = Guarded(State())
  private let open: @Sendable () -> Int32
  private let onTrouble: @Sendable (String) -> Void

  /// Begins with nothing; the thread starts with the first watch.
  /// - Parameter onTrouble: is told, once, why folders cannot be watched.
  public convenience init(onTrouble: @escaping @Sendable (String) -> Void) {
    self.init(open: { inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK)) }, onTrouble: onTrouble)
  }

  /// - Parameter open: makes the inotify instance; negative, with `errno`, for none.
  init(open: @escaping @Sendable () -> Int32, onTrouble: @escaping @Sendable (String) -> Void) {
    self.open = open
    self.onTrouble = onTrouble
  }

  deinit { state.withLock { $0.inotify }?.stop() }

  /// Watches the files that are directly in `folder`. Blocks if the file system does: to be called on its lane.
  /// - Parameter kinds: what the watch tells of. Others that watch the same folder have their own.
  /// - Throws: ``FileError`` if there is no such folder, or it may not be read.
  public func watch(_ folder: FilePath, for kinds: FileChanges) throws(FileError) -> FolderWatch {
    do {
      return try instance().watch(folder, for: kinds)
    } catch
      where [.noSuchFileOrDirectory, .notDirectory, .permissionDenied].contains(error.errno)
    {
      throw error
    } catch {
      let isFirst = state.withLock { state in
        defer { state.isTroubleTold = true }
        return !state.isTroubleTold
      }
      if isFirst { onTrouble("\(error); changes in folders are looked for from time to time instead") }
      let watch = FolderWatch(kinds) {}
      watch.end(with: .unavailable)
      return watch
    }
  }

  private func instance() throws(FileError) -> Inotify {
    try state.withLock { state throws(FileError) in
      if let inotify = state.inotify { return inotify }
      let inotify = try Inotify(descriptor: open())
      state.inotify = inotify
      return inotify
    }
  }
}

/// The inotify instance, which is open as long as anybody has a watch.
private final class Inotify: Sendable {
  private struct Entry {
    weak var watch: FolderWatch?
    var id: Int
  }

  private struct State {
    /// Who watches a folder, by the kernel's number for it. A folder has one however often it is watched.
    var entries: [Int32: [Entry]] = [:]
    var nextID = 0
    /// Calls that have got a number, or will, and have not entered it. No folder is given up meanwhile: it might be theirs.
    var entering = 0
    var ended: Set<Int32> = []
    var hasFailed = false
  }

  private let descriptor: Int32
  /// An eventfd that the thread waits for, too.
  private let wake: Int32
  private let state = Guarded(State())

  /// - Parameter descriptor: taken over; negative, with `errno`, if there is none.
  init(descriptor: Int32) throws(FileError) {
    guard descriptor >= 0 else { throw FileError("watch", "inotify", Errno(rawValue: errno)) }
    self.descriptor = descriptor
    wake = eventfd(0, Int32(EFD_CLOEXEC))
    guard wake >= 0 else { throw FileError("watch", "inotify", Errno(rawValue: errno)) }
    do {
      try ServiceThread.start(name: "file-watcher") { [self] in while serve() {} }
    } catch {
      throw FileError("watch", "inotify", .resourceTemporarilyUnavailable)
    }
  }

  deinit {
    close(descriptor)
    if wake >= 0 { close(wake) }
  }

  /// Ends the thread.
  func stop() {
    var count: UInt64 = 1
    _ = write(wake, &count, MemoryLayout.size(ofValue: count))
  }

  func watch(_ folder: FilePath, for kinds: FileChanges) throws(FileError) -> FolderWatch {
    let id = state.withLock { state in
      state.entering += 1
      state.nextID += 1
      return state.nextID
    }
    // Not under the lock, which the events of all folders need: this can hang with its file system.
    let mask = kinds.rawValue | UInt32(IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK | IN_MASK_ADD)
    let number = folder.withPlatformString { inotify_add_watch(descriptor, $0, mask) }
    let code = errno
    guard number >= 0 else {
      state.withLock { finishEntering(&$0) }
      throw FileError("watch", folder, Errno(rawValue: code))
    }
    let watch = FolderWatch(kinds) { [self] in leave(number, id) }
    let end = state.withLock { state -> FolderEvent? in
      defer { finishEntering(&state) }
      if state.hasFailed { return .unavailable }
      if state.ended.contains(number) { return .gone }
      state.entries[number, default: []].append(Entry(watch: watch, id: id))
      return nil
    }
    if let end { watch.end(with: end) }
    return watch
  }

  private func finishEntering(_ state: inout State) {
    state.entering -= 1
    settle(&state)
  }

  private func leave(_ number: Int32, _ id: Int) {
    state.withLock { state in
      state.entries[number]?.removeAll { $0.id == id }
      settle(&state)
    }
  }

  /// Gives up the folders that nobody watches any more.
  private func settle(_ state: inout State) {
    guard state.entering == 0 else { return }
    state.ended = []
    for (number, entries) in state.entries where entries.isEmpty {
      state.entries[number] = nil
      inotify_rm_watch(descriptor, number)
    }
  }

  /// Waits for events and hands them on; on the thread.
  /// - Returns: whether there can be more.
  private func serve() -> Bool {
    var descriptors = [descriptor, wake].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    guard poll(&descriptors, 2, -1) >= 0 else { return errno == EINTR }
    if descriptors[1].revents != 0 { return fail() }
    return withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: MemoryLayout<inotify_event>.alignment) {
      let size = read(descriptor, $0.baseAddress, $0.count)
      if size > 0 {
        for event in InotifyEvent.parse(UnsafeRawBufferPointer(rebasing: $0[..<size])) { handle(event) }
        return true
      }
      return size < 0 && (errno == EINTR || errno == EAGAIN) || fail()
    }
  }

  private func handle(_ event: InotifyEvent) {
    let watches = state.withLock { state -> [FolderWatch] in
      if event.isOverflow { return state.entries.values.joined().compactMap(\.watch) }
      let watches = state.entries[event.watch]?.compactMap(\.watch) ?? []
      if event.isLast {
        state.entries[event.watch] = nil
        // A folder that only has another name would go on telling what happens in it.
        if event.mask & UInt32(IN_MOVE_SELF) != 0 { inotify_rm_watch(descriptor, event.watch) }
        if state.entering > 0 { state.ended.insert(event.watch) }
      }
      return watches
    }
    for watch in watches {
      if event.isOverflow {
        watch.lookAgain()
      } else if event.isLast {
        watch.end(with: .gone)
      } else {
        watch.note(event.name, FileChanges(rawValue: event.mask))
      }
    }
  }

  /// Nothing is heard any more.
  private func fail() -> Bool {
    let watches = state.withLock { state in
      state.hasFailed = true
      return state.entries.values.joined().compactMap(\.watch)
    }
    for watch in watches { watch.end(with: .unavailable) }
    return false
  }
}
