package import Support
package import SystemPackage

/// The pool directory of a slot: the one place where a job's files are.
///
/// All calls on it run on a lane of its own, so that a file system that hangs holds up this slot alone.
package final class Pool: Sendable {
  package let path: FilePath
  package let lane: IOLane
  /// The mount points, relative to the pool, that existed when this process began to use the pool.
  private let mountPoints = Guarded<Set<FilePath>?>(nil)
  /// The number of unfinished calls of ``clean(limit:)``.
  private let cleanings = Guarded(0)

  /// - Throws: `ServiceThread.CannotStart`.
  package init(_ path: FilePath) throws {
    self.path = path
    lane = try IOLane(name: "pool \(path.lastComponent?.string ?? "")")
  }

  /// Makes the directory and takes its lock (protocol §4), which the caller holds as long as the slot lives.
  /// - Throws: ``PoolFailure`` that says what is in the way; `IOLane.TimedOut`.
  package func lock() async throws -> FileLock {
    let path = path
    return try await perform {
      try Files.makeDirectory(path)
      return try FileLock(path.appending(".locked"))
    }
  }

  /// Where a job's supervisor and the agent keep what they need to find each other again: nothing of a job's own is in it,
  /// and cleaning leaves it.
  package var stateFolder: FilePath { Pool.stateFolder(in: path) }

  static func stateFolder(in pool: FilePath) -> FilePath { pool.appending(".supervisor") }

  /// Takes the lock that tells one agent from another: the pool's own lock stays with a job that outlives its agent.
  /// - Throws: ``PoolFailure``; `IOLane.TimedOut`.
  package func lockForAgent() async throws -> FileLock {
    let (path, folder, mountPoints) = (path, stateFolder, mountPoints)
    return try await perform {
      try Files.makeDirectory(folder)
      // Again for each try: another agent may still have a job here, with its mounts.
      let found = try? MountPoints.below(Files.realPath(of: path) ?? path)
      mountPoints.withLock { $0 = found }
      try Files.setPermissions(folder, to: .ownerReadWriteExecute)
      return try FileLock(folder.appending("agent.lock"))
    }
  }

  /// Runs `body` on the pool's lane.
  private func perform<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    do { return try await lane.run(body) } catch let error as FileError { throw PoolFailure(error) }
  }

  /// Removes what jobs leave behind (protocol §5): all but dot files, the packages' list, and the pid file of a QEMU that
  /// still runs. What is mounted in the pool is never touched, and is a failure if it was not mounted at the start.
  ///
  /// A caller that is freed by `limit` finds ``isBeingCleaned`` until the cleaning has ended.
  /// - Throws: ``PoolFailure``, `IOLane.TimedOut`.
  package func clean(limit: Duration = .seconds(60)) async throws {
    let (path, mountPoints, cleanings) = (path, mountPoints, cleanings)
    cleanings.withLock { $0 += 1 }
    let report = try await lane.run(limit: limit) {
      defer { cleanings.withLock { $0 -= 1 } }
      return FolderRemoval.empty(path, mountPoints: mountPoints.withLock { $0 } ?? []) { Pool.isKept($0, in: path) }
    }
    if let failure = PoolFailure(report) { throw failure }
  }

  /// Whether the pool is still being cleaned, possibly by a call that hangs.
  package var isBeingCleaned: Bool { cleanings.withLock { $0 > 0 } }

  /// Makes the logs of a new job begin empty (protocol §5), also in a pool that is not cleaned.
  /// - Throws: ``PoolFailure``, `IOLane.TimedOut`.
  package func beginLogs() async throws {
    let path = path
    try await perform {
      for name in ["serial0.txt", "autoinst-log.txt", "serial_terminal.txt"] {
        try Files.remove(path.appending(name))
      }
      try Files.replace(path.appending("worker-log.txt"), with: [])
    }
  }

  /// The content of a file of the pool; nil if there is none.
  /// - Throws: `FileError`, `IOLane.TimedOut`.
  package func read(_ name: String, limit: Int = 64 << 20) async throws -> [UInt8]? {
    let file = path.appending(name)
    return try await lane.run { try Files.read(file, limit: limit) }
  }

  /// Writes a file of the pool in one step.
  /// - Throws: ``PoolFailure``, `IOLane.TimedOut`.
  package func write(_ name: String, _ content: [UInt8]) async throws {
    let file = path.appending(name)
    try await perform { try Files.replace(file, with: content) }
  }

  /// Makes the directory for the backend's temporary files.
  /// - Throws: ``PoolFailure``, `IOLane.TimedOut`.
  package func makeTemporaryDirectory() async throws {
    let folder = path.appending("tmp")
    try await perform { try Files.makeDirectory(folder) }
  }

  /// Puts the list of this host's packages where cleaning leaves it, in a directory that is made if it is not there.
  /// - Throws: ``PoolFailure``, `IOLane.TimedOut`.
  package func keepPackageList(_ content: [UInt8]) async throws {
    let path = path
    try await perform {
      try Files.makeDirectory(path)
      try Files.replace(path.appending("worker_packages.txt"), with: content)
    }
  }

  private static func isKept(_ name: String, in path: FilePath) -> Bool {
    if name.hasPrefix(".") || name == "worker_packages.txt" { return true }
    return name == "qemu.pid" && qemu(in: path) != nil
  }

  /// The process id of the QEMU that still runs on this pool.
  package func runningQEMU() async throws -> Int32? {
    let path = path
    return try await lane.run { Pool.qemu(in: path) }
  }

  /// Removes the pid file of a QEMU that runs no more (protocol §4).
  /// - Throws: ``PoolFailure``, `IOLane.TimedOut`.
  package func removeStalePID() async throws {
    let path = path
    try await perform { if Pool.qemu(in: path) == nil { try Files.remove(path.appending("qemu.pid")) } }
  }

  private static func qemu(in path: FilePath) -> Int32? {
    guard let content = try? Files.read(path.appending("qemu.pid"), limit: 64),
      let pid = Int32(String(decoding: content, as: UTF8.self).trimmed),
      let program = Files.linkTarget(FilePath("/proc/\(pid)/exe")),
      program.lastComponent?.string.hasPrefix("qemu-") == true
    else { return nil }
    return pid
  }
}
