import CLinux
import Glibc
import Support
public import SystemPackage

/// A process that nobody supervises.
public struct Leftover: Sendable, Hashable, CustomStringConvertible {
  /// Its number.
  public var pid: Int32
  /// In ticks since boot, 0 if it is not known: with it, a recycled pid is told.
  public var startTime: UInt64
  /// Its command line.
  public var command: String

  /// One process.
  public init(pid: Int32, startTime: UInt64, command: String) {
    (self.pid, self.startTime, self.command) = (pid, startTime, command)
  }

  /// `123 (sleep 1000)`.
  public var description: String { "\(pid) (\(command))" }
}

/// Processes that outlived their supervisor. These calls look through /proc: they belong on an `IOLane`.
public enum Leftovers {
  /// Processes with `mark`, an entry `NAME=VALUE`, in the environment they were started with. Those of other users cannot
  /// be seen into.
  public static func find(mark: String) -> [Leftover] {
    let mark = Array(mark.utf8)
    return all { pid in
      guard let environment = (try? Files.read(FilePath("/proc/\(pid)/environ"))) ?? nil else { return false }
      return environment.split(separator: 0).contains { $0.elementsEqual(mark) }
    }
  }

  /// Processes whose working directory is `folder` or below it.
  public static func find(workingBelow folder: FilePath) -> [Leftover] {
    all { pid in Files.linkTarget(FilePath("/proc/\(pid)/cwd"))?.starts(with: folder) ?? false }
  }

  /// All processes but this one for which `matches` holds.
  private static func all(where matches: (Int32) -> Bool) -> [Leftover] {
    ((try? Files.names(in: "/proc")) ?? []).compactMap { name in
      guard let pid = Int32(name), pid != getpid(), matches(pid), let process = ProcessID(of: pid) else { return nil }
      return Leftover(process)
    }
  }

  /// Kills every process with `mark`, an entry `NAME=VALUE`, in its environment.
  public static func end(mark: String) async -> TreeEnd { await end { find(mark: mark) } }

  /// Ends what is left of a tree whose supervisor is lost; the supervisor, too, if it is there but does not answer.
  static func end(_ record: SupervisorRecord) async -> TreeEnd {
    guard record.identity.bootID == ProcessID.bootID else { return .gone }
    let end = await end(cgroup: record.ownCgroup) { members(of: record) }
    if end == .gone, let cgroup = record.ownCgroup { _ = cgroup.withPlatformString { rmdir($0) } }
    return end
  }

  private static func end(
    cgroup: FilePath? = nil, _ members: @escaping @Sendable () -> [Leftover]
  ) async -> TreeEnd {
    await uncancelled {
      do {
        return try await IOLane(name: "leftovers").run(limit: .seconds(30)) {
          kill(cgroup: cgroup, members, limit: .seconds(5))
        }
      } catch {
        return .survivors([Leftover(pid: 0, startTime: 0, command: "/proc does not answer: \(error)")])
      }
    }
  }

  /// Kills round after round. The tree can fork while /proc is read, so that one look that finds nobody proves nothing.
  private static func kill(cgroup: FilePath?, _ members: () -> [Leftover], limit: Duration) -> TreeEnd {
    let start = ContinuousClock.now
    var quietRounds = 0
    while quietRounds < 3 {
      let left = members()
      quietRounds = left.isEmpty ? quietRounds + 1 : 0
      if start.duration(to: .now) > limit, !left.isEmpty { return .survivors(left) }
      if let cgroup { try? Files.append([0x31], to: cgroup.appending("cgroup.kill")) }
      kill(left)
    }
    return .gone
  }

  private static func members(of record: SupervisorRecord) -> [Leftover] {
    let supervisor = ProcessID(pid: record.identity.pid, startTime: record.identity.startTime)
    var left = [supervisor, record.leader].filter { ProcessID(of: $0.pid) == $0 }.map { Leftover($0) }
    // A state file that is wrong must not kill just anybody.
    left.removeAll { $0.pid == supervisor.pid && !$0.command.contains("job-supervisor") }
    if let group = record.ownCgroup, let pids = try? Files.read(group.appending("cgroup.procs")) {
      left += String(decoding: pids, as: UTF8.self).split(separator: "\n").compactMap { line in
        Int32(line).flatMap { ProcessID(of: $0) }.map { Leftover($0) }
      }
    }
    if let mark = record.mark { left += find(mark: mark) }
    return left
  }

  /// Kills the processes and waits a moment for their end. Whoever has another start time is somebody else.
  private static func kill(_ processes: [Leftover]) {
    var ends: [pollfd] = []
    for process in processes {
      let handle = clinux_open_process(process.pid)
      guard handle >= 0 else { continue }
      // The handle is of whoever has the number now: of the right one, if the start time is still the same.
      if ProcessID(of: process.pid)?.startTime == process.startTime, clinux_signal_process(handle, SIGKILL) == 0 {
        ends.append(pollfd(fd: handle, events: Int16(POLLIN), revents: 0))
      } else {
        close(handle)
      }
    }
    defer { for end in ends { close(end.fd) } }
    if ends.isEmpty { poll(nil, 0, 10) }
    for index in ends.indices { poll(&ends[index], 1, 100) }
  }
}

extension Leftover {
  fileprivate init(_ process: ProcessID) {
    let read = { (name: String) -> [UInt8] in ((try? Files.read(FilePath("/proc/\(process.pid)/\(name)"))) ?? nil) ?? []
    }
    var words = read("cmdline").map { $0 == 0 ? 0x20 : $0 }
    while words.last == 0x20 { words.removeLast() }
    let command = String(decoding: words.isEmpty ? read("comm").dropLast() : words.prefix(160), as: UTF8.self)
    self.init(pid: process.pid, startTime: process.startTime, command: command)
  }
}
