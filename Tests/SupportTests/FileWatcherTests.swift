import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Support

@Suite("FileWatcher", .timeLimit(.minutes(1)))
struct FileWatcherTests {
  let folder: TemporaryFolder
  let troubles = Guarded<[String]>([])
  let watcher: FileWatcher

  init() throws {
    folder = try TemporaryFolder()
    watcher = FileWatcher { [troubles] text in troubles.withLock { $0.append(text) } }
  }

  private func touch(_ name: String) throws { try Files.append("x".utf8, to: folder.path.appending(name)) }

  /// What happens to a file, up to and with `last`.
  private func changes(
    of name: String, until last: FileChanges, in iterator: inout FolderWatch.Iterator
  ) async -> FileChanges {
    var all = FileChanges()
    while !all.contains(last), let event = await iterator.next() {
      if case .changed(let files) = event { all.formUnion(files[name] ?? []) }
    }
    return all
  }

  @Test("tells what happens to files, after a first look")
  func kinds() async throws {
    let watch = try watcher.watch(folder.path, for: [.created, .written, .movedIn, .movedOut, .deleted])
    var events = watch.makeAsyncIterator()
    #expect(await events.next() == .look)
    try touch("a")
    #expect(await changes(of: "a", until: .written, in: &events) == [.created, .written])
    try Files.symbolicLink(folder.path.appending("l"), to: "a")
    #expect(await changes(of: "l", until: .created, in: &events) == [.created])
    try Files.move(folder.path.appending("a"), to: folder.path.appending("b"))
    #expect(await changes(of: "b", until: .movedIn, in: &events) == [.movedIn])
    try Files.remove(folder.path.appending("b"))
    #expect(await changes(of: "b", until: .deleted, in: &events) == [.deleted])
  }

  @Test("each of several watches of one folder gets what it has asked for")
  func several() async throws {
    var created = try watcher.watch(folder.path, for: .created).makeAsyncIterator()
    var written = try watcher.watch(folder.path, for: [.written, .modified]).makeAsyncIterator()
    #expect(await created.next() == .look)
    #expect(await written.next() == .look)
    // One that leaves takes nothing from the others.
    _ = try watcher.watch(folder.path, for: .created)
    try touch("a")
    #expect(await changes(of: "a", until: .created, in: &created) == .created)
    #expect(await changes(of: "a", until: [.written, .modified], in: &written) == [.written, .modified])
  }

  @Test("a folder can be watched again when nobody watched it any more")
  func again() async throws {
    for name in ["a", "b", "c"] {
      var events = try watcher.watch(folder.path, for: .created).makeAsyncIterator()
      #expect(await events.next() == .look)
      try touch(name)
      #expect(await events.next() == .changed([name: .created]))
    }
  }

  @Test("many that come and go at once all hear what they should")
  func crowd() async throws {
    let (watcher, path) = (watcher, folder.path)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in 0..<200 {
        group.addTask {
          let watch = try watcher.watch(path, for: .created)
          try Files.append([], to: path.appending("\(number)"))
          for await event in watch {
            if case .changed(let files) = event, files["\(number)"] != nil { return true }
            // Too many names at once are a look.
            if event == .look, Files.exists(path.appending("\(number)")) { return true }
          }
          return false
        }
      }
      for try await isHeard in group { #expect(isHeard) }
    }
  }

  @Test("a slow consumer is told to look, and costs a bounded number of names")
  func slow() async throws {
    var slow = try watcher.watch(folder.path, for: .created).makeAsyncIterator()
    var quick = try watcher.watch(folder.path, for: .created).makeAsyncIterator()
    #expect(await slow.next() == .look)
    #expect(await quick.next() == .look)
    for number in 0...FolderWatch.limit { try touch("\(number)") }
    try touch("last")
    // By then the slow one has got all but perhaps the last.
    loop: while let event = await quick.next() {
      if case .changed(let files) = event, files["last"] != nil { break loop }
      if event == .look { break }
    }
    try Files.remove(folder.path.appending("last"))
    #expect(await slow.next() == .look)
    try touch("after")
    _ = await changes(of: "after", until: .created, in: &slow)
  }

  @Test("a folder is gone once, however its last events come", arguments: 0..<100)
  func goneOnce(round: Int) async throws {
    let path = folder.path.appending("inner")
    try Files.makeDirectory(path)
    var events = try watcher.watch(path, for: .created).makeAsyncIterator()
    try Files.append([], to: path.appending("a"))
    try Files.move(path, to: folder.path.appending("other"))
    var ends = 0
    while let event = await events.next() { if event == .gone { ends += 1 } }
    #expect(ends == 1)
  }

  @Test("a folder that is removed or renamed is gone, after what happened in it", arguments: [true, false])
  func gone(isRenamed: Bool) async throws {
    let path = folder.path.appending("inner")
    try Files.makeDirectory(path)
    let watch = try watcher.watch(path, for: .created)
    var events = watch.makeAsyncIterator()
    #expect(await events.next() == .look)
    try Files.append([], to: path.appending("a"))
    if isRenamed { try Files.move(path, to: folder.path.appending("other")) } else { try Files.remove(path) }
    var all: [FolderEvent] = []
    while let event = await events.next() { all.append(event) }
    #expect(all == [.changed(["a": .created]), .gone])
    // The name can be used again.
    try Files.makeDirectory(path)
    var next = try watcher.watch(path, for: .created).makeAsyncIterator()
    #expect(await next.next() == .look)
    try Files.append([], to: path.appending("b"))
    #expect(await next.next() == .changed(["b": .created]))
  }

  @Test("a folder that is not there, or is none, is an error")
  func missing() throws {
    try touch("file")
    for (name, errno) in [("none", Errno.noSuchFileOrDirectory), ("file", .notDirectory)] {
      let path = folder.path.appending(name)
      #expect(throws: FileError("watch", path, errno)) { try watcher.watch(path, for: .created) }
    }
    #expect(troubles.withLock { $0 } == [])
  }

  @Test("where the system has no more to give, watches say so, and the trouble is told once")
  func unavailable() async throws {
    let troubles = Guarded<[String]>([])
    let watcher = FileWatcher(
      open: {
        errno = EMFILE
        return -1
      }, onTrouble: { text in troubles.withLock { $0.append(text) } })
    for _ in 0..<2 {
      var all: [FolderEvent] = []
      for await event in try watcher.watch(folder.path, for: .created) { all.append(event) }
      #expect(all == [.look, .unavailable])
    }
    #expect(troubles.withLock { $0.count } == 1)
  }

  @Test("watches that outlive the watcher become unavailable")
  func outliving() async throws {
    let watch = try FileWatcher { _ in }.watch(folder.path, for: .created)
    var all: [FolderEvent] = []
    for await event in watch { all.append(event) }
    #expect(all == [.look, .unavailable])
  }

  @Test("a cancelled consumer is freed")
  func cancelled() async throws {
    let watch = try watcher.watch(folder.path, for: .created)
    let consumer = Task {
      for await _ in watch {}
      return Task.isCancelled
    }
    consumer.cancel()
    #expect(await consumer.value)
  }

  @Test("the kernel's records are taken apart, the one of an overflow, too")
  func parsing() {
    func record(_ watch: Int32, _ mask: Int32, _ name: [UInt8] = []) -> [UInt8] {
      var header = inotify_event()
      (header.wd, header.mask, header.len) = (watch, UInt32(mask), UInt32(name.count))
      return withUnsafeBytes(of: header) { Array($0.prefix(MemoryLayout<inotify_event>.size)) } + name
    }
    let bytes = record(3, IN_CREATE, Array("last.png".utf8) + [0, 0, 0, 0, 0, 0, 0, 0]) + record(-1, IN_Q_OVERFLOW)
    let events = bytes.withUnsafeBytes { InotifyEvent.parse($0) }
    #expect(
      events == [
        InotifyEvent(watch: 3, mask: UInt32(IN_CREATE), name: "last.png"),
        InotifyEvent(watch: -1, mask: UInt32(IN_Q_OVERFLOW), name: ""),
      ])
    #expect(events.map(\.isOverflow) == [false, true])
    #expect(bytes.dropLast().withUnsafeBytes { InotifyEvent.parse($0) }.count == 1)
  }
}
