import Glibc
import Support

/// The signals that ask the program to end, caught from the moment ``start(isIgnored:)`` returns.
enum Terminations {
  private static let names = [SIGTERM: "TERM", SIGINT: "INT", SIGHUP: "HUP"]
  /// What the handler writes to: the one thing that it may do at any moment.
  private static let pipe: (reading: Int32, writing: Int32) = {
    var ends: [Int32] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else { return (-1, -1) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }()

  /// Catches the signals and returns their names as they come. Ignored ones are caught, too, since what is set to be
  /// ignored stays so in children.
  static func start(isIgnored: Bool) throws -> AsyncStream<String> {
    let (stream, continuation) = AsyncStream<String>.makeStream()
    let reading = pipe.reading
    for number in names.keys {
      signal(number) { number in
        var byte = UInt8(truncatingIfNeeded: number)
        _ = write(Terminations.pipe.writing, &byte, 1)
      }
    }
    try ServiceThread.start(name: "signals") {
      var byte: UInt8 = 0
      while read(reading, &byte, 1) == 1 {
        if !isIgnored, let name = names[Int32(byte)] { continuation.yield(name) }
      }
    }
    return stream
  }
}
