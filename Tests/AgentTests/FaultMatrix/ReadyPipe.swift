import Glibc
import Support
import SystemPackage

/// A named pipe by which a scenario says that it has come to a place: `{"write": PATH, "append": true, "content": "."}`.
final class ReadyPipe: Sendable {
  /// Opened when it has.
  let opened = Latch<Void>()
  let path: FilePath

  init(_ path: FilePath) throws {
    self.path = path
    guard mkfifo(path.string, 0o600) == 0 else { throw Errno(rawValue: errno) }
    try ServiceThread.start(name: "ready") { [opened, path] in
      // Returns when somebody opens it for writing; who writes must not lose the reader.
      let descriptor = open(path.string, O_RDONLY | O_CLOEXEC)
      var byte: UInt8 = 0
      if read(descriptor, &byte, 1) == 1 { opened.open(with: ()) }
      close(descriptor)
    }
  }

  /// Lets the thread go if nobody has come.
  func dismiss() { close(open(path.string, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) }
}
