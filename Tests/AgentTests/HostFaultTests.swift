import Agent
import Configuration
import Glibc
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

/// Faults of the host that a job meets: the slot is broken until they are gone, and no other job is used up.
@Suite("Faults of the host", .timeLimit(.minutes(1)))
struct HostFaultTests {
  /// Schedules jobs and lets the slot run the first of them, expects the slot to be broken because of that, mends the host,
  /// and expects the others to pass.
  private func meetsFault(
    _ bench: Workbench, settings: [String: JSON] = [:], others: [String: JSON]? = nil, result: String = "incomplete",
    reason: String? = nil, isBroken text: String, mend: @Sendable @escaping () throws -> Void,
    ruin: @Sendable @escaping () throws -> Void = {}
  ) async throws {
    try await bench.run { _ in
      try await bench.log.line(with: "Registered and connected")
      try ruin()
      var jobs = [try await bench.schedule(BadInputTests.module, settings)]
      for _ in 0..<3 { jobs.append(try await bench.schedule(BadInputTests.module, others ?? settings)) }
      let first = try await bench.end(of: jobs[0])
      #expect(first.result == result && first.reason == reason, "\(first.reason ?? "")")
      let isMeant = { (message: JSON) in
        message["type"] == "worker_status" && message["status"] == "broken" && message["reason"]?.string == text
      }
      try await bench.web.event { event in
        if case .message(let message, _) = event, isMeant(message) { true } else { false }
      }
      // One of them may just have been offered: it is rejected, and waits again.
      for job in jobs.dropFirst() { try await bench.job(job) { $0.state == .scheduled } }
      #expect(!bench.log.lines.contains { $0.contains("Accepting job \(jobs[1]) ") })
      try mend()
      for job in jobs.dropFirst() {
        let end = try await bench.end(of: job)
        #expect(end.result == "passed", "\(end.reason ?? "")")
      }
    }
  }

  private func bench(
    path: FilePath? = nil, change: @Sendable (inout Settings) -> Void = { _ in }
  ) async throws -> Workbench {
    try await Workbench(path: path, recheck: AvailabilityTests.soon, change: change)
  }

  // MARK: A pool that cannot be cleaned

  @Test("what a job has mounted in the pool stays as it is, and is named", .enabled(if: Mount.isAllowed))
  func mount() async throws {
    let bench = try await bench()
    let (source, target) = (bench.folder.path.appending("source"), bench.pool.appending("ulogs/mnt"))
    try Files.makeDirectory(source)
    try Files.replace(source.appending("file"), with: [])
    let line = try BadInputTests.isotovideo(after: "mkdir -p ulogs/mnt; mount --bind '\(source)' ulogs/mnt")
    defer { _ = target.withPlatformString { umount2($0, Int32(MNT_DETACH)) } }
    try await meetsFault(
      bench, settings: ["ISOTOVIDEO": line], others: [:], result: "passed",
      isBroken: "Unable to clean pool directory: \(target): something is mounted there (umount \(target))"
    ) {
      let left = try Files.names(in: source) + Files.names(in: bench.pool.appending("ulogs"))
      #expect(left == ["file", "mnt"])
      // The slot looks at it meanwhile.
      #expect(target.withPlatformString { umount2($0, Int32(MNT_DETACH)) } == 0)
    }
    #expect(try Files.names(in: bench.pool) == [".locked", ".supervisor"])
    #expect(try Files.names(in: source) == ["file"])
  }

  @Test("what was mounted in the pool before stays, and jobs pass", .enabled(if: Mount.isAllowed))
  func knownMount() async throws {
    let bench = try await bench()
    let folder = bench.pool.appending("data")
    try Files.makeDirectory(folder)
    let mount = try Mount(on: folder, size: 1 << 20)
    try Files.replace(folder.appending("file"), with: [])
    try await bench.run { _ in
      for _ in 0..<2 {
        let job = try await bench.end(of: try await bench.schedule(BadInputTests.module))
        #expect(job.result == "passed")
      }
    }
    #expect(try Files.names(in: folder) == ["file"])
    withExtendedLifetime(mount) {}
  }

  @Test("a pool that cannot be cleaned before a job", .enabled(if: Mount.isAllowed))
  func before() async throws {
    let bench = try await bench()
    let folder = bench.pool.appending("old")
    let mount = Guarded<Mount?>(nil)
    let text = "Unable to clean pool directory: \(folder): something is mounted there (umount \(folder))"
    try await meetsFault(
      bench, reason: "setup failure: \(text)", isBroken: text, mend: { mount.withLock { $0 = nil } },
      ruin: {
        try Files.makeDirectory(folder)
        let new = try Mount(on: folder, size: 4096)
        mount.withLock { $0 = new }
      })
  }

  @Test("a pool that is not cleaned is not looked at", .enabled(if: Mount.isAllowed))
  func noCleanup() async throws {
    let bench = try await bench { $0.keepsPool = true }
    let folder = bench.pool.appending("old")
    try await bench.run { _ in
      try await bench.log.line(with: "Registered and connected")
      try Files.makeDirectory(folder)
      let mount = try Mount(on: folder, size: 4096)
      for _ in 0..<2 {
        let job = try await bench.end(of: try await bench.schedule(BadInputTests.module))
        #expect(job.result == "passed")
      }
      withExtendedLifetime(mount) {}
    }
  }

  @Test("as another user: folders of mode 0500 go, and what is root's is named", .enabled(if: Mount.isAllowed))
  func otherUser() async throws {
    let host = try ProgramHost()
    let (user, place) = (BadHostTests.nobody, host.pool.appending("root"))
    #expect(host.pool.withPlatformString { chown($0, user, user) } == 0)
    let web = try await LocalServer.start(folder: host.folder.path.appending("web"))
    let command = host.command("setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups")
    let fake = host.folder.path.appending("fake-isotovideo")
    var modules = host.job
    let after = "mkdir -p go/pkg/mod/x; touch go/pkg/mod/x/y; chmod -R a-w go/pkg; chmod 0 go/pkg/mod/x; exit 0"
    modules["ISOTOVIDEO"] = .string("'\(fake)' -d || exit; \(after)")
    let jobs = [modules, modules, host.job]
    try await host.run(command, at: web) { _ in
      for settings in jobs {
        let job = try await web.end(of: await web.schedule(settings))
        #expect(job?.result == "passed", "\(job?.reason ?? "")")
      }
      #expect(!Files.exists(host.pool.appending("go")), "or the last job would not have begun")
    }
    try Files.makeDirectory(place.appending("sub"))
    try await host.run(command, at: web) { _ in
      let failed = try await web.end(of: await web.schedule(host.job))
      let reason = "Unable to clean pool directory: \(place)/sub: Permission denied (let the user of this process "
      #expect(failed?.reason?.hasPrefix("setup failure: \(reason)") == true, "\(failed?.reason ?? "")")
      try await web.event { event in
        if case .message(let message, _) = event, message["reason"]?.string?.hasPrefix(reason) == true {
          true
        } else {
          false
        }
      }
    }
    await web.stop()
  }

  // MARK: A set-up that the host fails

  @Test("a pool that is mounted read-only: no job is taken", .enabled(if: Mount.isAllowed))
  func readOnlyPool() async throws {
    let bench = try await bench()
    try await bench.run { _ in
      try await bench.log.line(with: "Registered and connected")
      var mount: Mount? = try Mount(on: bench.pool, size: 4096, isReadOnly: true)
      for await event in bench.web.events {
        guard case .message(let message, _) = event, message["status"] == "broken" else { continue }
        #expect(message["reason"]?.string?.hasSuffix("Read-only file system (mount it for writing)") == true)
        break
      }
      let job = try await bench.schedule(BadInputTests.module)
      #expect(await bench.web.job(job)?.state == .scheduled)
      withExtendedLifetime(mount) {}
      mount = nil
      #expect(try await bench.end(of: job).result == "passed")
    }
  }

  @Test("a share that is not there")
  func share() async throws {
    let bench = try await bench()
    let (share, away) = (bench.share, bench.folder.path.appending("away"))
    let text =
      "No share directory for \(bench.web.url): no \(share): mount it, or set SHARE_DIRECTORY in the section "
      + "[\(bench.web.url)] of workers.ini"
    try await meetsFault(
      bench, reason: "setup failure: \(text)", isBroken: text, mend: { try Files.move(away, to: share) },
      ruin: { try Files.move(share, to: away) })
  }

  @Test("a share that is not mounted any more: its mount point is empty")
  func unmountedShare() async throws {
    let bench = try await bench()
    let (share, away) = (bench.share, bench.folder.path.appending("away"))
    let text = "No share directory for \(bench.web.url): \(share) is empty, and was not before: mount it"
    try await meetsFault(
      bench, reason: "setup failure: \(text)", isBroken: text,
      mend: {
        try Files.remove(share)
        try Files.move(away, to: share)
      },
      ruin: {
        try Files.move(share, to: away)
        try Files.makeDirectory(share)
      })
  }

  @Test("no isotovideo, until it is installed")
  func isotovideo() async throws {
    let folder = try TemporaryFolder()
    let program = folder.path.appending("isotovideo")
    let text = "isotovideo is not there: \(program): install os-autoinst, or give its path with --isotovideo"
    let script = Array("exec '\(try Workbench.program("fake-isotovideo"))', @ARGV;".utf8)
    try Files.replace(program, with: script)
    let bench = try await bench { $0.isotovideo = program }
    try await meetsFault(
      bench, settings: ["ISOTOVIDEO": ""], reason: "setup failure: \(text)", isBroken: "Unable to start jobs: \(text)",
      mend: { try Files.replace(program, with: script) }, ruin: { try Files.remove(program) })
  }

  @Test("no perl, until it is installed")
  func perl() async throws {
    let folder = try TemporaryFolder()
    let (programs, program) = (folder.path.appending("bin"), folder.path.appending("isotovideo"))
    try Files.makeDirectory(programs)
    for name in try Files.names(in: "/usr/bin") where !name.hasPrefix("perl") {
      try Files.symbolicLink(programs.appending(name), to: FilePath("/usr/bin/\(name)"))
    }
    try Files.replace(program, with: "exec '\(try Workbench.program("fake-isotovideo"))', @ARGV;".utf8)
    let perl = programs.appending("perl")
    try Files.symbolicLink(perl, to: "/usr/bin/perl")
    let bench = try await bench(path: programs) { $0.isotovideo = program }
    try await meetsFault(
      bench, settings: ["ISOTOVIDEO": ""],
      reason: "setup failure: isotovideo can not be started: cannot start perl: perl: cannot start the program: "
        + "No such file or directory",
      isBroken: "Unable to start jobs: perl is missing or cannot be executed: install it in PATH",
      mend: { try Files.symbolicLink(perl, to: "/usr/bin/perl") }, ruin: { try Files.remove(perl) })
  }

  @Test("a cache that is full", .enabled(if: Mount.isAllowed))
  func cache() async throws {
    try await CacheTests.run(recheck: AvailabilityTests.soon) { host in
      let mount = try Mount(on: host.folder.path, size: 2 << 20)
      let filling = host.folder.path.appending("filling")
      try await meetsFault(
        host.bench, reason: "cache failure: Failed to download lab.iso to \(host.cache)/lab.iso",
        isBroken: "Unable to use cache directory: write to \(host.folder.path): No space left on device (free space "
          + "there, or remove what old jobs have left)",
        mend: { try Files.remove(filling) },
        ruin: {
          #expect(throws: FileError.self) { try Files.append([UInt8](repeating: 0, count: 3 << 20), to: filling) }
        })
      withExtendedLifetime(mount) {}
    }
  }

  // MARK: What a job brings along itself

  static let ownFaults: [[String: JSON]] = [
    ["ISO": "gone.iso"], ["DISTRI": "gone"], ["CASEDIR": "../lab"], ["ISOTOVIDEO": "git clone -q /nowhere/x.git"],
    ["ISOTOVIDEO": "exit 127"], ["ISOTOVIDEO": "/nowhere/isotovideo -d"], ["ISO": "tmp"],
    ["OS_AUTOINST_GIT_REPO": "/nowhere", "ISOTOVIDEO": ""],
  ]

  @Test("an asset, a Git repository or test code that is missing fails its job alone", arguments: ownFaults)
  func own(settings: [String: JSON]) async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      var jobs: [Int64] = []
      for _ in 0..<3 { jobs.append(try await bench.schedule(BadInputTests.module, settings)) }
      for job in jobs { #expect(try await bench.end(of: job).result == "incomplete") }
      let next = try await bench.end(of: try await bench.schedule(BadInputTests.module))
      #expect(next.result == "passed", "\(next.reason ?? "")")
    }
    #expect(bench.log.lines.allSatisfy { !$0.contains("Unable to start jobs") && !$0.contains("Unable to use") })
  }
}
