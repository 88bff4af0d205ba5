import Agent
import Configuration
import Glibc
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

/// Faults of a host that only its kernel can make: real file systems that are full or hang, and a real other user.
@Suite(
  "Bad hosts", .timeLimit(.minutes(2)), .enabled(if: Mount.isAllowed, "this process may not mount: it is not root's"))
struct BadHostTests {
  func takesNext(_ bench: Workbench) async throws {
    let next = try await bench.end(of: try await bench.schedule(BadInputTests.module))
    #expect(next.result == "passed", "\(next.reason ?? "")")
  }

  // MARK: A file system that is full

  @Test("no space for the pool: the reason says so and what to do, and no other job is used up before there is")
  func fullPool() async throws {
    let bench = try await Workbench(recheck: .milliseconds(20))
    try Files.makeDirectory(bench.pool)
    let mount = try Mount(on: bench.pool, size: 4 << 20)
    let filling = bench.pool.appending(".filling")
    try await bench.run { _ in
      try await bench.log.line(with: "Registered and connected")
      #expect(throws: FileError.self) { try Files.append([UInt8](repeating: 0, count: 5 << 20), to: filling) }
      let job = try await bench.end(of: try await bench.schedule(BadInputTests.module))
      #expect(job.result == "incomplete")
      let reason = try #require(job.reason)
      #expect(reason.hasPrefix("setup failure: The pool cannot be used: "), "\(reason)")
      let words = "No space left on device (free space there, or remove what old jobs have left)"
      #expect(reason.contains(words))
      let text = "Unable to use pool directory: write to \(bench.pool): \(words)"
      for await event in bench.web.events {
        if case .message(let message, _) = event, message["status"] == "broken" {
          #expect(message["reason"]?.string == text)
          break
        }
      }
      let next = try await bench.schedule(BadInputTests.module)
      #expect(await bench.web.job(next)?.state == .scheduled)
      try Files.remove(filling)
      #expect(try await bench.end(of: next).result == "passed")
    }
    withExtendedLifetime(mount) {}
  }

  @Test("less space for the pool than there is to be: no job is taken before there is")
  func shortOfSpace() async throws {
    let bench = try await Workbench(recheck: .milliseconds(20), change: { $0.minimumFreeSpace = 4 << 20 })
    try Files.makeDirectory(bench.pool)
    let mount = try Mount(on: bench.pool, size: 8 << 20)
    let filling = bench.pool.appending(".filling")
    try await bench.run { _ in
      try await bench.connected()
      try Files.append([UInt8](repeating: 0, count: 6 << 20), to: filling)
      let reason = "Only 0 GiB are free in \(bench.pool), and POOL_MIN_FREE_GB asks for 0"
      try await bench.web.event { event in
        if case .message(let message, _) = event, message["reason"]?.string?.hasPrefix(reason) == true {
          true
        } else {
          false
        }
      }
      let job = try await bench.schedule(BadInputTests.module)
      #expect(await bench.web.job(job)?.state == .scheduled)
      try Files.remove(filling)
      #expect(try await bench.end(of: job).result == "passed")
    }
    withExtendedLifetime(mount) {}
  }

  // ThreadSanitizer itself writes to TMPDIR, which is in the pool, when a program starts, and dies if it cannot.
  @Test(
    "the disk is full in mid-job: what is there arrives, and the job has a result",
    arguments: isSanitized ? [false] : [true, false])
  func fullInJob(isBeforeResults: Bool) async throws {
    let bench = try await Workbench()
    try Files.makeDirectory(bench.pool)
    let mount = try Mount(on: bench.pool, size: 8 << 20)
    try await bench.run { _ in
      let fill = "head -c 9000000 /dev/zero > filling"
      let line =
        isBeforeResults
        ? try BadInputTests.isotovideo(before: fill) : try BadInputTests.isotovideo(after: fill)
      let job = try await bench.end(of: try await bench.schedule(BadInputTests.module, ["ISOTOVIDEO": line]))
      #expect(job.result == (isBeforeResults ? "incomplete" : "passed"), "\(job.reason ?? "")")
      #expect(isBeforeResults == (job.reason?.hasPrefix("died: ") == true), "\(job.reason ?? "")")
      #expect(job.files.isSuperset(of: ["autoinst-log.txt", "worker-log.txt", "vars.json"]), "\(job.files)")
      try await takesNext(bench)
    }
    withExtendedLifetime(mount) {}
  }

  // MARK: A share whose server does not answer

  static let hanging: [(settings: [String: JSON], result: String, reason: String)] = [
    (["MAX_SETUP_TIME": "0.5"], "timeout_exceeded", "timeout: setup exceeded MAX_SETUP_TIME"),
    ([:], "incomplete", "setup failure: The share of "),
  ]

  @Test(
    "a share that hangs: the job ends with a reason, the slot goes on when the share does",
    .enabled(if: Mount.isFUSEAllowed, "there is no /dev/fuse"), arguments: hanging)
  func hangingShare(_ example: (settings: [String: JSON], result: String, reason: String)) async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      try await bench.log.line(with: "Registered and connected")
      var mount: Mount? = try Mount(hangingOn: bench.share)
      let job = try await bench.end(of: try await bench.schedule(BadInputTests.module, example.settings))
      #expect(job.result == example.result && job.reason?.hasPrefix(example.reason) == true, "\(job.reason ?? "")")
      withExtendedLifetime(mount) {}
      mount = nil
      try await takesNext(bench)
    }
  }

  @Test(
    "assets on a share that hangs: a stop is not held up", .enabled(if: Mount.isFUSEAllowed, "there is no /dev/fuse"))
  func hangingAssets() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      try await bench.log.line(with: "Registered and connected")
      var mount: Mount? = try Mount(hangingOn: bench.share.appending("factory/iso"))
      let id = try await bench.schedule(BadInputTests.module)
      try await bench.log.line(with: "+++ setup notes +++")
      await bench.web.send(.cancel, for: id)
      let job = try await bench.end(of: id)
      #expect(job.result == "user_cancelled", "\(job.reason ?? "")")
      withExtendedLifetime(mount) {}
      mount = nil
      try await takesNext(bench)
    }
  }

  // MARK: Another user

  static let nobody: UInt32 = 65534

  @Test("somebody else's pool: the slot is broken and says whose it has to be; once it is, it takes a job")
  func foreignPool() async throws {
    let host = try ProgramHost()
    let nobody = host.command("setpriv", "--reuid=\(Self.nobody)", "--regid=\(Self.nobody)", "--clear-groups")
    let web = try await LocalServer.start(folder: host.folder.path.appending("web"))
    try await host.run(nobody, at: web) { _ in
      let message = try #require(await web.status())
      #expect(message["status"] == "broken")
      let reason = try #require(message["reason"]?.scalar)
      #expect(reason.hasPrefix("Unable to lock pool directory: ") && reason.contains(host.pool.string), "\(reason)")
      #expect(reason.contains("Permission denied (let the user of this process (uid \(Self.nobody)) own it"))
    }
    #expect(host.pool.withPlatformString { chown($0, Self.nobody, Self.nobody) } == 0)
    let job = await web.schedule(host.job)
    try await host.run(nobody, at: web) { _ in
      let end = try await web.end(of: job)
      #expect(end?.result == "passed", "\(end?.reason ?? "")")
    }
    await web.stop()
  }
}
