import Dispatch
import Engines
import Glibc
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("A pool that is cleaned", .timeLimit(.minutes(1)))
struct PoolCleaningTests {
  let folder: TemporaryFolder
  let pool: Pool

  init() throws {
    folder = try TemporaryFolder()
    pool = try Pool(folder.path.appending("1"))
    try Files.makeDirectory(pool.path)
  }

  func file(_ name: String, _ content: String = "") throws {
    let path = pool.path.appending(name)
    try Files.makeDirectory(path.removingLastComponent())
    try Files.replace(path, with: Array(content.utf8))
  }

  @Test("keeps the lock, the worker's own state and the packages' list, whatever else is there")
  func kept() async throws {
    let locks = (try await pool.lock(), try await pool.lockForAgent())
    for name in [
      ".supervisor/job.json", ".isotovideo-version", "worker_packages.txt", "qemu.pid", "tests/module/file", "log",
    ] { try file(name) }
    try Files.setPermissions(pool.path.appending("tests/module"), to: [.ownerRead, .ownerExecute])
    try await pool.clean()
    #expect(
      try Files.names(in: pool.path) == [".isotovideo-version", ".locked", ".supervisor", "worker_packages.txt"])
    #expect(try Files.names(in: pool.stateFolder) == ["agent.lock", "job.json"])
    #expect(try FileLock.isHeld(pool.path.appending(".locked")))
    #expect(!pool.isBeingCleaned)
    withExtendedLifetime(locks) {}
  }

  @Test("a mount is a failure that says what to do, unless it was there before", .enabled(if: Mount.isAllowed))
  func mounts() async throws {
    try file("share/asset")
    try file("tmp/old")
    let share = folder.path.appending("share")
    try Files.makeDirectory(share)
    try Files.replace(share.appending("asset"), with: [])
    let known = try Mount(on: pool.path.appending("tmp"), size: 1 << 20)
    try file("tmp/inside")
    let lock = try await pool.lockForAgent()
    try await pool.clean()
    #expect(try Files.names(in: pool.path) == [".supervisor", "tmp"])
    try Files.makeDirectory(pool.path.appending("new"))
    var late: Mount? = try Mount(of: share, on: pool.path.appending("new"))
    let failure = await #expect(throws: PoolFailure.self) { try await pool.clean() }
    let path = pool.path.appending("new")
    #expect(failure?.description == "\(path): something is mounted there (umount \(path))")
    #expect(failure?.fault == .uncleanPool && failure?.isHeldByAnother == false)
    #expect(try Files.names(in: share) == ["asset"] && Files.names(in: pool.path.appending("tmp")) == ["inside"])
    withExtendedLifetime((late, known, lock)) {}
    late = nil
    try await pool.clean()
  }

  @Test("a cleaning that nobody waits for any more is still known")
  func unfinished() async throws {
    try file("file")
    let (begun, goesOn) = (Latch<Void>(), DispatchSemaphore(value: 0))
    pool.lane.submit {
      begun.open(with: ())
      goesOn.wait()
    }
    try await begun.reached()
    await #expect(throws: IOLane.TimedOut.self) { try await pool.clean(limit: .milliseconds(1)) }
    #expect(pool.isBeingCleaned)
    goesOn.signal()
    try await pool.lane.run {}
    #expect(!pool.isBeingCleaned)
    #expect(try Files.names(in: pool.path).isEmpty)
  }

  @Test(
    "failures to write tell the faults that the next job would meet",
    arguments: [
      (.noSpace, .unwritablePool), (.readOnlyFileSystem, .unwritablePool), (.ioError, .unwritablePool),
      (.permissionDenied, nil), (.diskQuotaExceeded, nil), (.notDirectory, nil), (.fileNameTooLong, nil),
      (.resourceTemporarilyUnavailable, nil),
    ] as [(Errno, HostFault?)])
  func faults(errno: Errno, fault: HostFault?) {
    #expect(PoolFailure(FileError("write", "/pool/1/vars.json", errno)).fault == fault)
  }
}
