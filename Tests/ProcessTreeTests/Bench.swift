import CLinux
import Glibc
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

/// A folder for a supervisor, and what its tree prints.
final class Bench: Sendable {
  let path: FilePath
  let supervisor: Supervisor
  private let temporary: TemporaryFolder
  private let lane: IOLane

  init(grouping: Grouping = .without, orphanLimit: Duration = .seconds(900)) throws {
    temporary = try TemporaryFolder()
    path = temporary.path
    lane = try IOLane(name: "bench")
    var supervisor = Supervisor(cgroupParent: grouping == .with ? ControlGroup.own : nil)
    supervisor.orphanLimit = orphanLimit
    supervisor.markName = "TREE"
    self.supervisor = supervisor
  }

  var output: FilePath { path.appending("output") }
  var folder: FilePath { path.appending("supervisor") }
  /// In the environment of everything that is started here.
  var mark: String { "TREE=\(path)" }
  /// The program that makes trees.
  static let treeMaker = Supervisor.besideProgram.removingLastComponent().appending("tree-maker")

  func command(_ executable: String, _ arguments: [String]) -> Command {
    Command(
      executable, arguments: arguments,
      environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "A": "b c", "TREE": path.string], workingDirectory: path)
  }

  func start(_ script: String, lock: FileLock? = nil) async throws -> SupervisedTree {
    try await supervisor.start(command("/bin/bash", ["-c", script]), output: output, folder: folder, lock: lock)
  }

  /// Starts one of tree-maker's trees and waits until it is there.
  func grow(_ arguments: String...) async throws -> SupervisedTree {
    let command = command(Bench.treeMaker.string, arguments)
    let tree = try await supervisor.start(command, output: output, folder: folder, lock: nil)
    try await says("up")
    return tree
  }

  /// A supervisor that this process has no client for: as another user, or for a test that speaks to it by itself.
  func startRaw(user: String? = nil, options: [String] = [], _ arguments: String...) async throws -> Conversation {
    let program = Supervisor.besideProgram.string
    let start = ["--folder", folder.string, "--output", output.string] + options + ["--"] + arguments
    let other = user.map { ["--reuid", $0, "--regid", $0, "--clear-groups", program] }
    if user != nil { try chown() }
    let answer = try await Program.output(
      of: command(user == nil ? program : "setpriv", (other ?? []) + start), limit: .seconds(30))
    guard answer.hasPrefix("ready ") else { throw Unexpected(answer) }
    return try Conversation(folder)
  }

  /// A supervisor of a protocol that does not exist yet, with a tree of one process.
  func startNewer(obeys: Bool) async throws {
    let program = try NewerSupervisor.make(in: path)
    try Files.makeDirectory(folder)
    // With its output where a tree's goes, which it holds open: nothing waits for its end.
    let start = "exec \(program) \(folder)/socket \(obeys ? 1 : 0) >>\(output) 2>&1 </dev/null"
    _ = try await Program.output(of: command("/bin/sh", ["-c", start]), limit: .seconds(30))
  }

  /// Gives the folder to an ordinary user.
  private func chown() throws {
    guard path.withPlatformString({ Glibc.chown($0, 65534, 65534) }) == 0 else { throw Unexpected("chown") }
  }

  /// Looks for what another process would find.
  func find() async throws -> Supervisor.Finding { try await Supervisor.find(in: folder, mark: mark) }

  func text() throws -> String { String(decoding: try Files.read(output) ?? [], as: UTF8.self) }

  /// Waits until the tree has printed `text`.
  func says(_ text: String, in file: String = #fileID, line: Int = #line) async throws {
    try await waitForFiles(in: path, file, line: line) { try self.text().contains(text) }
  }

  /// Waits until no process holds the lock of a file.
  func waitForUnlocked(_ path: FilePath) async throws {
    try await lane.run {
      let file = try FileDescriptor.open(path, .readWrite, options: .closeOnExec)
      defer { try? file.close() }
      guard clinux_lock_file(file.rawValue, true) == 0 else { throw Unexpected("no lock of \(path)") }
    }
  }

  /// Who is left of all that was started here.
  func left() async throws -> [Leftover] {
    let mark = mark
    return try await lane.run { Leftovers.find(mark: mark) }
  }

  /// Ends a tree, of which nothing may be left.
  func end(_ tree: SupervisedTree, grace: Duration = .seconds(1)) async throws {
    #expect(await tree.stop(grace: grace) == .gone)
    let group = try await tree.status().cgroup
    await tree.release()
    #expect(try Files.names(in: folder) == [])
    #expect(group.map { Files.exists($0) } != true)
    #expect(try await left() == [])
  }
}

/// Whether a tree is in a control group of its own.
enum Grouping: Sendable {
  case without
  case with

  /// Those that this machine lets us have.
  static let available: [Grouping] = hasGroups ? [.without, .with] : [.without]

  static let hasGroups: Bool = {
    guard let probe = ControlGroup.own?.appending("probe-\(getpid())") else { return false }
    defer { _ = probe.withPlatformString { rmdir($0) } }
    return probe.withPlatformString { mkdir($0, 0o755) } == 0 && Files.exists(probe.appending("cgroup.kill"))
  }()
}

/// Lines on a supervisor's socket, spoken by hand.
final class Conversation: Sendable {
  let socket: FileDescriptor
  private let lane: IOLane
  private let received = Guarded<[UInt8]>([])

  init(_ folder: FilePath) throws {
    let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    socket = FileDescriptor(rawValue: descriptor)
    lane = try IOLane(name: "conversation")
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: folder.appending("socket").string.utf8) }
    // It waits for its turn, where the supervisor has not come to those that were here before.
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard status == 0 else { throw Unexpected("no connection: \(Errno(rawValue: errno))") }
  }

  deinit { try? socket.close() }

  func send(_ line: String) {
    let bytes = Array("\(line)\n".utf8)
    Glibc.send(socket.rawValue, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }

  /// The next line, nil at the end.
  func line() async throws -> String? {
    try await lane.run { [self] in
      while true {
        let line: String? = received.withLock { received in
          guard let end = received.firstIndex(of: 0x0a) else { return nil }
          defer { received.removeSubrange(...end) }
          return String(decoding: received[..<end], as: UTF8.self)
        }
        if let line { return line }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = try bytes.withUnsafeMutableBytes { try socket.read(into: $0) }
        if count == 0 { return nil }
        received.withLock { $0 += bytes.prefix(count) }
      }
    }
  }

  /// The answer to a request, after whatever comes before.
  func ask(_ request: String) async throws -> String? {
    send(request)
    let name = request.prefix { $0 != " " }
    while let line = try await line() {
      if line.hasPrefix(name) { return line }
    }
    return nil
  }
}

struct Unexpected: Error {
  var problem: String
  init(_ problem: String) { self.problem = problem }
}
