import CLinux
import Glibc
import Support
import SystemPackage

/// What a supervisor says of itself and its job, in its state file and on its socket.
struct SupervisorRecord: Sendable, Hashable {
  var identity: SupervisedTree.Identity
  /// The program's process, ended or not.
  var leader: ProcessID
  /// Nil as long as it runs.
  var exit: ProcessExit?
  var cgroup: FilePath?
  /// Why there is no group.
  var noCgroup: String?
  /// `NAME=VALUE`, in the environment of all processes that did not clear theirs; nil if it is not the expected one.
  var mark: String?
  /// Of the supervisor: the rest of the tree is below these. The state file does not know.
  var children: Int?

  /// The newest version of protocol and state file that this understands.
  static let version: Int32 = 1

  /// Why a record cannot be used.
  enum Problem: Error, Hashable {
    /// Something that is needed is missing or wrong.
    case corrupt
    /// A newer job-supervisor has written it.
    case newer(Int32)
  }

  /// Takes a record apart: items that begin with their name, divided by `separator`. Unknown ones are of programs that are
  /// newer, but not so new that this one would misread them.
  /// - Parameter mark: the only one that is believed: by a wrong one, other processes than the tree's would be killed.
  init(_ text: some StringProtocol, separator: Character, mark: String?) throws(Problem) {
    var items: [Substring: [Substring]] = [:]
    var isRunning = false
    for item in text.split(separator: separator) {
      let words = Substring(item).split(separator: " ", maxSplits: 1)
      guard let name = words.first else { continue }
      if name == "running" { isRunning = true }
      // A path or a command is text to its end.
      items[name] = words.count > 1 ? [words[1]] + words[1].split(separator: " ") : []
    }
    let header = items["job-supervisor"] ?? []
    guard let version = header.dropFirst().first.flatMap({ Int32($0) }), version > 0 else { throw .corrupt }
    guard version <= Self.version else { throw .newer(version) }
    guard header.count == 4, let process = ProcessID(header[2...]), let boot = items["boot"]?.first,
      let leader = (items["leader"]?.dropFirst()).flatMap({ ProcessID($0) })
    else { throw .corrupt }
    identity = .init(pid: process.pid, startTime: process.startTime, bootID: String(boot))
    self.leader = leader
    for (name, make) in [("exited", ProcessExit.status), ("killed", ProcessExit.signal)] {
      if let number = items[Substring(name)]?.first.flatMap({ Int32($0) }) { exit = make(number) }
    }
    guard isRunning != (exit != nil) else { throw .corrupt }
    cgroup = items["cgroup"]?.first.map { FilePath(String($0)) }
    noCgroup = items["no-cgroup"]?.first.map { String($0) }
    self.mark = items["mark"]?.first.map { String($0) } == mark ? mark : nil
    children = items["children"]?.first.flatMap { Int($0) }
  }

  /// Where the group is, if its name says that it is this supervisor's: a state file that is wrong must not be able to
  /// name another one.
  var ownCgroup: FilePath? {
    cgroup?.lastComponent?.string == "job-\(identity.pid)-\(identity.startTime)" ? cgroup : nil
  }
}

/// A process that cannot be mistaken for a later one with its number, until the next boot.
struct ProcessID: Sendable, Hashable {
  var pid: Int32
  /// Ticks since boot.
  var startTime: UInt64

  init(pid: Int32, startTime: UInt64) { (self.pid, self.startTime) = (pid, startTime) }

  /// A pid and a start time in words.
  init?(_ words: some Collection<Substring>) {
    guard words.count == 2, let first = words.first, let pid = Int32(first), pid > 1,
      let start = words.dropFirst().first.flatMap({ UInt64($0) }), start > 0
    else { return nil }
    self.init(pid: pid, startTime: start)
  }

  /// The process that has the number now, nil if there is none or it has ended.
  init?(of pid: Int32) {
    // After the name, which can hold anything, come the state, field 3, and so on; the start time is field 22.
    guard let bytes = (try? Files.read(FilePath("/proc/\(pid)/stat"))) ?? nil, let end = bytes.lastIndex(of: 0x29)
    else { return nil }
    let fields = String(decoding: bytes[(end + 1)...], as: UTF8.self).split(separator: " ")
    guard fields.count > 19, fields[0] != "Z", fields[0] != "X", let start = UInt64(fields[19]) else { return nil }
    self.init(pid: pid, startTime: start)
  }

  /// Blocks until the process that has the number now has ended. Whether it has.
  static func waitForEnd(of pid: Int32, limit: Duration) -> Bool {
    let handle = clinux_open_process(pid)
    guard handle >= 0 else { return handle == -ESRCH }
    defer { close(handle) }
    var end = pollfd(fd: handle, events: Int16(POLLIN), revents: 0)
    return poll(&end, 1, Int32(saturating: limit / .milliseconds(1))) == 1
  }
}
