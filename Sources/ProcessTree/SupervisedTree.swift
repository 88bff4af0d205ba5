import Glibc
public import Support
public import SystemPackage

/// A tree of processes below a supervisor of its own, which goes on when this process ends.
///
/// As long as this object is there, the supervisor has a client and does not take itself for an orphan.
public final class SupervisedTree: Sendable {
  /// Which supervisor it is; plain values for a journal.
  public struct Identity: Sendable, Hashable {
    /// The supervisor's process.
    public var pid: Int32
    /// When that was started, in ticks since boot: with it, a recycled pid is told.
    public var startTime: UInt64
    /// The boot of the system that all this belongs to.
    public var bootID: String

    /// What a journal kept.
    public init(pid: Int32, startTime: UInt64, bootID: String) {
      (self.pid, self.startTime, self.bootID) = (pid, startTime, bootID)
    }
  }

  /// How a tree is.
  public struct Status: Sendable, Hashable {
    /// Nil as long as the program runs.
    public var exit: ProcessExit?
    /// The program's process; the number means nothing once it has ended.
    public var leader: Int32
    /// How many children the supervisor has, the program's process among them. 0: no process of the tree is left.
    public var children: Int
    /// The control group of the tree, if it has one.
    public var cgroup: FilePath?
    /// Why it has none.
    public var noCgroup: String?
  }

  /// Which supervisor it is.
  public let identity: Identity
  /// Where its socket and state file are.
  public let folder: FilePath
  /// As of when this object was made.
  let record: SupervisorRecord
  private let connection: SupervisorConnection
  private let end: SupervisorConnection.Reply

  /// How long an answer may take that takes no time; whoever takes longer is stopped by somebody, and as good as lost.
  static let patience = Duration.seconds(10)

  /// Speaks to the supervisor in `folder`.
  /// - Parameter mark: of the processes that it has started.
  /// - Throws: `FileError` if nobody listens there, ``NewerSupervisor``, ``ProcessError`` if it is no supervisor,
  ///   `CancellationError`.
  init(in folder: FilePath, mark: String, lane: IOLane) async throws {
    let connection = try await lane.run { try SupervisorConnection(folder: folder) }
    guard let text = try await Self.answer(connection.greeting)?.text else {
      throw NoGreeting(peer: connection.peer.pid)
    }
    let greeting = text.split(separator: " ")
    guard greeting.count == 3, let version = Int32(greeting[0]), version > 0, let process = ProcessID(greeting[1...])
    else { throw ProcessError("no supervisor answers in \(folder)") }
    // Whoever can listen in that folder is us or root; that it is the one it says is worth knowing all the same.
    let isGenuine =
      connection.peer.pid == process.pid && [0, geteuid()].contains(connection.peer.uid)
      && ProcessID(of: process.pid) == process
    guard isGenuine else { throw ProcessError("somebody else than a supervisor listens in \(folder)") }
    guard version <= SupervisorRecord.version else {
      throw NewerSupervisor(process: process, version: version, folder: folder, mark: mark)
    }
    guard let status = try await Self.answer(connection.ask("status")),
      let record = try? SupervisorRecord(status.text, separator: "\t", mark: mark), record.identity.pid == process.pid
    else { throw ProcessError("the supervisor in \(folder) does not say how it is") }
    (self.connection, self.folder, self.record, identity) = (connection, folder, record, record.identity)
    end = connection.ask("wait")
  }

  /// Nobody said anything: the supervisor is on its way out, or has too many clients.
  struct NoGreeting: Error {
    var peer: Int32
  }

  deinit { connection.end() }

  /// Waits for the end of the program, not of what else it has started.
  /// - Throws: ``SupervisorLost`` if that cannot be told any more; `CancellationError`.
  public func exit() async throws -> ProcessExit {
    guard let words = try await end.wait()?.text.split(separator: " "), words.count == 2, let number = Int32(words[1])
    else { throw SupervisorLost(identity: identity, folder: folder) }
    return words[0] == "killed" ? .signal(number) : .status(number)
  }

  /// How the tree is now.
  /// - Throws: ``SupervisorLost``, `CancellationError`.
  public func status() async throws -> Status {
    guard let text = try await Self.answer(connection.ask("status"))?.text,
      let record = try? SupervisorRecord(text, separator: "\t", mark: record.mark), let children = record.children
    else { throw SupervisorLost(identity: identity, folder: folder) }
    return Status(
      exit: record.exit, leader: record.leader.pid, children: children, cgroup: record.cgroup,
      noCgroup: record.noCgroup)
  }

  /// Ends the tree: SIGTERM to the program's session, SIGKILL to whoever is left after `grace`, until no process is. If
  /// the supervisor has gone away, what it left is killed. Cancelling does not end this.
  ///
  /// Called while another call stops the tree, it waits for the same end, and can shorten the grace.
  /// - Returns: that all are gone, or who could not be killed within some seconds.
  public func stop(grace: Duration) async -> TreeEnd {
    let answer = await uncancelled { try? await self.askToStop(grace) }
    if let text = answer?.text, let end = TreeEnd(text) { return end }
    return await Leftovers.end(record)
  }

  /// Ends the tree as ``stop(grace:)`` does; but who is cancelled does not wait for the end, which the supervisor sees to
  /// alone.
  /// - Throws: `CancellationError`.
  public func stopUnlessCancelled(grace: Duration) async throws -> TreeEnd {
    if let text = try await askToStop(grace)?.text, let end = TreeEnd(text) { return end }
    return await Leftovers.end(record)
  }

  private func askToStop(_ grace: Duration) async throws -> SupervisorConnection.Answer? {
    let milliseconds = min(max(grace / .milliseconds(1), 0), 86_400_000)
    return try await Self.answer(
      connection.ask("stop \(Int(saturating: milliseconds))"), limit: grace + Self.patience)
  }

  /// A lock that is the supervisor's as well, nil if it was started without.
  /// - Throws: ``SupervisorLost``, `CancellationError`.
  public func takeLock() async throws -> FileLock? {
    guard let answer = try await Self.answer(connection.ask("lock")) else {
      throw SupervisorLost(identity: identity, folder: folder)
    }
    return answer.lock
  }

  /// All that this tree was is known: the supervisor ends, at once or when the last process is gone, and removes its files.
  /// Cancelling does not end this.
  public func release() async {
    await uncancelled {
      let answer = try? await Self.answer(self.connection.ask("release"))
      switch answer?.text {
      case "pending": break
      // What it holds, it holds until it has ended.
      case "done": _ = try? await Self.answer(self.connection.closed)
      default: await SupervisedEnd(folder: self.folder, record: .success(self.record)).clear()
      }
    }
  }

  /// Nil if the supervisor has gone away, or does not answer in time.
  private static func answer(
    _ reply: SupervisorConnection.Reply, limit: Duration = patience
  ) async throws -> SupervisorConnection.Answer? {
    try await withThrowingTaskGroup(of: SupervisorConnection.Answer?.self) { group in
      group.addTask { try await reply.wait() }
      group.addTask {
        try await DeadlineClock().sleep(for: limit)
        return nil
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
  }
}

/// How the end of a tree went.
public enum TreeEnd: Sendable, Hashable {
  /// No process is left.
  case gone
  /// Some could not be killed: they belong to another user, or hang in the kernel.
  case survivors([Leftover])

  /// `gone`, or `survivors` and a tab, pid, space and command for each.
  init?(_ text: Substring) {
    let items = text.split(separator: "\t")
    switch items.first {
    case "gone": self = .gone
    case "survivors":
      self = .survivors(
        items.dropFirst().compactMap { item in
          let words = item.split(separator: " ", maxSplits: 1)
          guard let pid = words.first.flatMap({ Int32($0) }) else { return nil }
          return Leftover(pid: pid, startTime: 0, command: words.count > 1 ? String(words[1]) : "")
        })
    default: return nil
    }
  }
}

/// A supervisor went away without a word: it was killed.
public struct SupervisorLost: Error, Hashable, CustomStringConvertible {
  /// Which it was.
  public let identity: SupervisedTree.Identity
  /// Where its files are.
  public let folder: FilePath

  /// One line for the log.
  public var description: String { "the supervisor \(identity.pid) of \(folder) went away before its tree ended" }
}

/// Runs `body` to its end even if the calling task is cancelled: the task in between belongs to this call, which waits.
func uncancelled<Value: Sendable>(_ body: @escaping @Sendable () async -> Value) async -> Value {
  await Task { await body() }.value
}
