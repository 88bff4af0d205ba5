import CLinux
import Glibc
import Support
public import SystemPackage

/// A supervisor of a newer version of this program, which is left after a downgrade. What it says is not understood, but
/// what is needed to end it is the same in all versions: the greeting's form, and that it ends its tree when it gets SIGTERM.
public struct NewerSupervisor: Error, Sendable, CustomStringConvertible {
  let process: ProcessID
  /// The version of the protocol that it speaks.
  public let version: Int32
  /// The folder with its files.
  public let folder: FilePath
  /// The mark of the processes that it has started, `NAME=VALUE`.
  let mark: String

  /// One line for the log.
  public var description: String {
    """
    the supervisor \(process.pid) of \(folder) is a newer one (it speaks version \(version) of its protocol, understood up \
    to \(SupervisorRecord.version))
    """
  }

  /// Has it end its tree, kills what is left after `limit`, and removes its files. Cancelling does not end this.
  public func end(limit: Duration) async -> TreeEnd {
    await uncancelled {
      _ = try? await IOLane(name: "supervisor").run(limit: limit + .seconds(10)) {
        // The handle comes first: whoever it is that is looked at then, nobody else can be hit.
        let handle = clinux_open_process(process.pid)
        guard handle >= 0 else { return }
        defer { close(handle) }
        guard ProcessID(of: process.pid) == process else { return }
        _ = clinux_signal_process(handle, SIGTERM)
        var end = pollfd(fd: handle, events: Int16(POLLIN), revents: 0)
        if poll(&end, 1, Int32(saturating: limit / .milliseconds(1))) != 1 {
          _ = clinux_signal_process(handle, SIGKILL)
        }
      }
      let end = await Leftovers.end(mark: mark)
      if end == .gone { await SupervisedEnd(folder: folder, record: .failure(.newer(version))).clear() }
      return end
    }
  }
}
