import Glibc
import SystemPackage

/// The three standard streams.
enum Terminal {
  /// Opens those that are closed on `/dev/null`: otherwise the first files and sockets would get their numbers, and
  /// what is meant for a stream would be written into them.
  static func fillGaps() {
    var descriptor: Int32
    repeat { descriptor = open("/dev/null", O_RDWR) } while (0...2).contains(descriptor)
    if descriptor > 2 { close(descriptor) }
  }

  /// Writes to standard output.
  static func show(_ text: String) { _ = try? FileDescriptor.standardOutput.writeAll(text.utf8) }

  /// Writes to standard error.
  static func complain(_ text: String) { _ = try? FileDescriptor.standardError.writeAll(text.utf8) }
}
