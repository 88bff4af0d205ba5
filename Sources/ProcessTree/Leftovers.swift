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
  public static func find(mark: String) -> [Leftover] { all { clinux_environment_has($0, mark) == 1 } }

  /// Processes whose working directory is `folder` or below it.
  public static func find(workingBelow folder: FilePath) -> [Leftover] {
    all { pid in Files.linkTarget(FilePath("/proc/\(pid)/cwd"))?.starts(with: folder) ?? false }
  }

  private static func all(where matches: (Int32) -> Bool) -> [Leftover] {
    var found: [Leftover] = []
    eachProcess { pid in
      if matches(pid), let process = ProcessID(of: pid) { found.append(Leftover(process)) }
    }
    return found
  }

  /// All processes but this one, in the order of their numbers, new ones at the end.
  private static func eachProcess(_ visit: (Int32) -> Void) {
    guard let folder = opendir("/proc") else { return }
    defer { closedir(folder) }
    while let entry = readdir(folder) {
      let pid = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { atoi($0) }
      }
      if pid > 0, pid != getpid() { visit(pid) }
    }
  }
}

extension Leftovers {
  /// Kills every process with `mark`, an entry `NAME=VALUE`, in its environment.
  public static func end(mark: String) async -> TreeEnd { await end(of: nil, mark: mark) }

  /// Ends what is left of a tree whose supervisor is lost; the supervisor, too, if it is there but does not answer.
  static func end(_ record: SupervisorRecord) async -> TreeEnd {
    guard record.identity.bootID == Boot.id else { return .gone }
    let end = await end(of: record, mark: record.mark)
    if end == .gone, let cgroup = record.ownCgroup { _ = cgroup.withPlatformString { rmdir($0) } }
    return end
  }

  private static func end(of record: SupervisorRecord?, mark: String?) async -> TreeEnd {
    await uncancelled {
      do {
        return try await IOLane(name: "leftovers").run { kill(record, mark, limit: .seconds(5)) }
      } catch {
        return .survivors([Leftover(pid: record?.leader.pid ?? 0, startTime: 0, command: "\(error)")])
      }
    }
  }

  /// The longest time that a process may have no environment before it counts as one that has none.
  private static let longestBeginning = Duration.milliseconds(100)

  /// Kills round after round. The tree can fork while /proc is read, so that one look that finds nobody proves nothing. Nor
  /// does one that finds a process which is just beginning a program, and cannot be told from others meanwhile.
  private static func kill(_ record: SupervisorRecord?, _ mark: String?, limit: Duration) -> TreeEnd {
    let start = ContinuousClock.now
    var (rounds, quietRounds) = (0, 0)
    var beginnings: [ProcessID: ContinuousClock.Instant] = [:]
    while quietRounds < 3 {
      let (struck, beginning) = strike(record, mark)
      rounds += 1
      for process in beginning where beginnings[process] == nil { beginnings[process] = .now }
      let isUnclear = beginning.contains { (beginnings[$0] ?? .now).duration(to: .now) < longestBeginning }
      quietRounds = struck.isEmpty && !isUnclear ? quietRounds + 1 : 0
      if struck.isEmpty, isUnclear { poll(nil, 0, 1) }
      if !struck.isEmpty, rounds > 3, start.duration(to: .now) > limit { return .survivors(struck) }
    }
    return .gone
  }

  /// Kills whoever is there now and waits a moment for their end.
  /// - Returns: who was there, and who is just beginning a program.
  private static func strike(
    _ record: SupervisorRecord?, _ mark: String?
  ) -> (struck: [Leftover], beginning: [ProcessID]) {
    var beginning: [ProcessID] = []
    var struck: [(process: Leftover, end: pollfd)] = []
    defer { for (_, end) in struck { close(end.fd) } }
    // The handle comes first: whoever it is that is looked at then, nobody else can be hit.
    func strike(_ pid: Int32, if matches: () -> Bool) {
      let handle = clinux_open_process(pid)
      guard handle >= 0 else { return }
      guard matches(), let process = ProcessID(of: pid) else {
        close(handle)
        return
      }
      _ = clinux_signal_process(handle, SIGKILL)
      struck.append((Leftover(process), pollfd(fd: handle, events: Int16(POLLIN), revents: 0)))
    }
    if let record {
      let supervisor = ProcessID(pid: record.identity.pid, startTime: record.identity.startTime)
      // A state file that is wrong must not kill just anybody.
      strike(supervisor.pid) { ProcessID(of: supervisor.pid) == supervisor && isSupervisor(supervisor.pid) }
      strike(record.leader.pid) { ProcessID(of: record.leader.pid) == record.leader }
    }
    if let group = record?.ownCgroup, let pids = try? Files.read(group.appending("cgroup.procs")) {
      for pid in String(decoding: pids, as: UTF8.self).split(separator: "\n") { strike(Int32(pid) ?? 0) { true } }
      try? Files.append([0x31], to: group.appending("cgroup.kill"))
    }
    if let mark {
      eachProcess { pid in
        var answer: Int32 = 0
        strike(pid) {
          answer = clinux_environment_has(pid, mark)
          return answer == 1
        }
        // The kernel's own have no program.
        if answer == -1, Files.linkTarget(FilePath("/proc/\(pid)/exe")) != nil, let process = ProcessID(of: pid) {
          beginning.append(process)
        }
      }
    }
    for index in struck.indices { poll(&struck[index].end, 1, 100) }
    return (struck.map(\.process), beginning)
  }

  private static func isSupervisor(_ pid: Int32) -> Bool {
    (try? Files.read(FilePath("/proc/\(pid)/comm"))) == Array("job-supervisor\n".utf8)
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
