import Glibc
import Subprocess
public import Support
public import SystemPackage

/// How supervisors are started: programs that each are the parent of one tree of processes, outlive this one, and can be
/// found again.
public struct Supervisor: Sendable {
  /// The possible paths of job-supervisor, of which the first that exists is used.
  public var places: [FilePath]
  /// Of the programs that are started.
  public var niceness = 0
  /// The control group (version 2) below which each tree gets its own, if it can be made; nil: none.
  public var cgroupParent: FilePath?
  /// How long a tree goes on that nobody asks for.
  public var orphanLimit = Duration.seconds(15 * 60)
  /// The environment variable that tells a tree's processes from all others. If a command does not set it, each start makes
  /// up a value.
  public var markName = "SUPERVISED_TREE"

  /// Creates supervisors with trees in groups below this process's own.
  public init(places: [FilePath] = [Supervisor.besideProgram], cgroupParent: FilePath? = ControlGroup.own) {
    (self.places, self.cgroupParent) = (places, cgroupParent)
  }

  private static let fileName = "job-supervisor"
  private static let ownFolder = (CurrentProcess.program ?? "/").removingLastComponent()

  /// job-supervisor in the folder of the running program.
  public static let besideProgram = ownFolder.appending(fileName)

  /// Returns where job-supervisor can be installed with a program of this name: in the folder `libexec/NAME` of the same
  /// prefix, or beside the program; in `folder` alone if there is one.
  public static func places(for name: String, folder: FilePath?) -> [FilePath] {
    if let folder { return [folder.appending(fileName)] }
    let libexec = ownFolder.removingLastComponent().appending("libexec").appending(name)
    return [libexec.appending(fileName), besideProgram]
  }

  /// Finds job-supervisor. Blocks.
  /// - Throws: ``ProcessError`` that names the places if it is missing, or the file if it cannot be executed.
  public func findProgram() throws(ProcessError) -> FilePath {
    guard let file = places.first(where: Files.exists) else {
      throw ProcessError("job-supervisor is missing, looked for \(places.map(\.string).joined(separator: " and "))")
    }
    guard file.withPlatformString({ access($0, X_OK) }) == 0 else {
      throw ProcessError("\(file) cannot be executed: \(Errno(rawValue: Glibc.errno))")
    }
    return file
  }

  /// Starts a program below a new supervisor.
  /// - Parameters:
  ///   - output: the file that standard output and error of the tree are appended to.
  ///   - folder: where the supervisor's socket and state file are to be; an absolute path, made if it is not there.
  ///   - lock: held by the supervisor as well, to its end.
  /// - Throws: ``ProcessError`` if it cannot be started; `CancellationError`. Nothing runs then.
  public func start(
    _ command: Command, output: FilePath, folder: FilePath, lock: FileLock? = nil
  ) async throws -> SupervisedTree {
    var environment = command.environment
    environment[markName] = environment[markName] ?? Supervisor.unique()
    let mark = "\(markName)=\(environment[markName] ?? "")"
    let place = ["--folder", folder.string, "--output", output.string, "--mark", mark]
    let group = cgroupParent.map { ["--cgroup", $0.string] } ?? []
    let rest = ["--niceness", "\(niceness)", "--orphan-limit", "\(orphanLimit / .seconds(1))"]
    var start = Command(
      "",
      arguments: place + group + rest + (lock == nil ? [] : ["--lock"]) + ["--", command.file] + command.arguments,
      environment: environment, workingDirectory: command.workingDirectory)
    do {
      let lane = try IOLane(name: "supervisor")
      start.executable = try await lane.run { try findProgram() }.string
      if let cgroupParent { try await lane.run { ControlGroup.removeAbandoned(below: cgroupParent) } }
      let answer = try await Program.line(of: start, input: lock?.descriptor, limit: .seconds(30))
      guard answer.hasPrefix("ready ") else {
        throw ProcessError("cannot start \(command.executable): \(answer.trimmingPrefix("error: ").trimmed)")
      }
      return try await SupervisedTree(in: folder, mark: mark, lane: lane)
    } catch {
      await abandon(folder, mark: mark)
      try Task.checkCancellation()
      throw error
    }
  }

  /// A supervisor that has noticed that nobody waits for it any more ends by itself; one that was quicker is ended here.
  private func abandon(_ folder: FilePath, mark: String) async {
    await uncancelled {
      guard case .running(let tree)? = try? await Supervisor.find(in: folder, mark: mark), tree.record.mark == mark
      else { return }
      _ = await tree.stop(grace: .zero)
      await tree.release()
    }
  }

  private static func unique() -> String {
    (0..<2).map { _ in String(UInt64.random(in: 0 ... .max), radix: 36) }.joined()
  }
}

extension Supervisor {
  /// What an earlier process of ours left in a folder.
  public enum Finding: Sendable {
    /// Nothing.
    case none
    /// A supervisor that answers.
    case running(SupervisedTree)
    /// One that answers in a way that only a newer version of this program understands.
    case newer(NewerSupervisor)
    /// A supervisor that is gone or does not answer.
    case ended(SupervisedEnd)
  }

  /// Looks for what an earlier process of ours has left in `folder`.
  /// - Parameter mark: `NAME=VALUE`, of the processes that are started there; no other one is believed.
  /// - Throws: ``ProcessError`` if whoever listens there is not understood; `FileError`, `IOLane.TimedOut`,
  ///   `CancellationError`.
  public static func find(in folder: FilePath, mark: String) async throws -> Finding {
    let lane = try IOLane(name: "supervisor")
    // What others say of processes that are to be killed counts for nothing.
    let isForeign = try await lane.run {
      var status = stat()
      return folder.withPlatformString { lstat($0, &status) } == 0 && status.st_uid != geteuid()
    }
    if isForeign { throw ProcessError("\(folder) belongs to another user") }
    do {
      return .running(try await SupervisedTree(in: folder, mark: mark, lane: lane))
    } catch let supervisor as NewerSupervisor {
      return .newer(supervisor)
    } catch let error as FileError where [.connectionRefused, .noSuchFileOrDirectory].contains(error.errno) {
      // Nobody listens.
    } catch let silence as SupervisedTree.NoGreeting {
      let isGone = try await lane.run { ProcessID.waitForEnd(of: silence.peer, limit: .seconds(2)) }
      guard isGone else { throw ProcessError("the supervisor \(silence.peer) of \(folder) does not answer") }
    }
    let (isThere, state) = try await lane.run {
      (Files.exists(folder.appending("socket")), try Supervisor.state(in: folder))
    }
    guard isThere || state != nil else { return .none }
    let text = String(decoding: state ?? [], as: UTF8.self)
    let record = Result { () throws(SupervisorRecord.Problem) in
      try SupervisorRecord(text, separator: "\n", mark: mark)
    }
    return .ended(SupervisedEnd(folder: folder, record: record))
  }

  /// The state file; nothing in place of one that somebody else may have written.
  private static func state(in folder: FilePath) throws(FileError) -> [UInt8]? {
    do { return try Files.readOwn(folder.appending("state"), limit: 1 << 16) } catch {
      if error.isDistrust { return [] }
      throw error
    }
  }
}

/// What a supervisor left that is gone.
public struct SupervisedEnd: Sendable {
  /// Where its files are.
  public let folder: FilePath
  let record: Result<SupervisorRecord, SupervisorRecord.Problem>

  /// Which it was; nil if its state file is missing or not to be understood.
  public var identity: SupervisedTree.Identity? { understood?.identity }
  /// How the program ended, nil if the supervisor did not live to see it.
  public var exit: ProcessExit? { understood?.exit }
  /// Whether it was of the system that runs now; after a boot no process of its tree can be left.
  public var isOfThisBoot: Bool { understood?.identity.bootID == Boot.id }
  /// The version of the newer job-supervisor that has written the state file, which is not understood then.
  public var newerVersion: Int32? { if case .failure(.newer(let version)) = record { version } else { nil } }

  private var understood: SupervisorRecord? { try? record.get() }

  /// Kills what is left of the tree and removes the supervisor's files. Cancelling does not end this.
  @discardableResult
  public func clear() async -> TreeEnd {
    if let understood, case .survivors(let left) = await Leftovers.end(understood) { return .survivors(left) }
    let folder = folder
    await uncancelled {
      _ = try? await IOLane(name: "supervisor").run {
        for name in ["state", "state.new", "socket"] { try? Files.remove(folder.appending(name)) }
      }
    }
    return .gone
  }
}
