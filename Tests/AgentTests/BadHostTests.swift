import Agent
import Foundation
import LocalWebUI
import OpenQAProtocol
import ProcessTree
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

  @Test("no space for the pool: the reason says so and what to do, the next job has another try")
  func fullPool() async throws {
    let bench = try await Workbench()
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
      #expect(reason.contains("No space left on device (free space there, or remove what old jobs have left)"))
      try Files.remove(filling)
      try await takesNext(bench)
    }
    withExtendedLifetime(mount) {}
  }

  @Test("the disk is full in mid-job: what is there arrives, and the job has a result", arguments: [true, false])
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

  @Test("somebody else's pool: the slot is broken and says whose it has to be; once it is, it takes a job")
  func foreignPool() async throws {
    let host = try ForeignHost()
    let web = try await LocalServer.start(folder: host.folder.path.appending("web"))
    let log = try await host.run(at: web) {
      for await event in web.events {
        guard case .message(let message, _) = event, message["type"] == "worker_status" else { continue }
        return message
      }
      return .null
    } check: { message in
      #expect(message["status"] == "broken")
      let reason = try #require(message["reason"]?.scalar)
      #expect(reason.hasPrefix("Unable to lock pool directory: ") && reason.contains(host.pool.string), "\(reason)")
      #expect(reason.contains("Permission denied (let the user of this process (uid \(ForeignHost.user)) own it"))
    }
    #expect(log.contains("Unable to lock pool directory"))
    #expect(host.pool.withPlatformString { chown($0, ForeignHost.user, ForeignHost.user) } == 0)
    let job = await web.schedule(host.job)
    try await host.run(at: web) {
      try await web.end(of: job)
    } check: { end in
      #expect(end?.result == "passed", "\(end?.reason ?? "")")
    }
    await web.stop()
  }
}

/// A host whose worker runs as a user without rights, and whose folders are root's.
private struct ForeignHost {
  /// nobody.
  static let user: UInt32 = 65534

  let folder: TemporaryFolder
  var pool: FilePath { folder.path.appending("openqa/pool/1") }

  init() throws {
    folder = try TemporaryFolder()
    #expect(folder.path.withPlatformString { chmod($0, 0o755) } == 0)
    for name in ["openqa/pool/1", "openqa/share/tests/lab/needles", "openqa/share/factory"] {
      try Files.makeDirectory(folder.path.appending(name))
    }
    // The build's folder need not be everybody's.
    let built = FilePath(try Workbench.fakeIsotovideo).removingLastComponent()
    for name in ["worker-agent", "fake-isotovideo"] {
      try FileManager.default.copyItem(
        atPath: built.appending(name).string, toPath: folder.path.appending(name).string)
    }
  }

  var job: [String: JSON] {
    [
      "DISTRI": "lab", "VERSION": "1", "TEST": "basic", "ARCH": "x86_64", "WORKER_CLASS": "test",
      "FAKE_ISOTOVIDEO_SCENARIO": .string(BadInputTests.module),
      "ISOTOVIDEO": .string("exec '\(folder.path.appending("fake-isotovideo"))' -d"),
    ]
  }

  /// Runs the worker until `body` has returned; it has to end with 0 then. Returns what it has logged.
  @discardableResult
  func run<Value: Sendable>(
    at web: LocalServer, until body: () async throws -> Value, check: (Value) throws -> Void
  ) async throws -> String {
    let workers = "[global]\nHOST = \(web.url)\nWORKER_CLASS = test\nWORKER_HOSTNAME = 127.0.0.1\n"
    try Files.replace(folder.path.appending("workers.ini"), with: Array(workers.utf8))
    let log = folder.path.appending("log")
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    let command = Command(
      "setpriv",
      arguments: [
        "--reuid=\(ForeignHost.user)", "--regid=\(ForeignHost.user)", "--clear-groups",
        folder.path.appending("worker-agent").string,
      ],
      environment: ["PATH": path, "OPENQA_CONFIG": folder.path.string, "OPENQA_BASEDIR": folder.path.string],
      workingDirectory: "/")
    let tree = ProcessTree(command, output: log)
    async let exit = tree.run()
    let value = try await body()
    await tree.stop(grace: .seconds(30))
    let text = String(decoding: try Files.read(log) ?? [], as: UTF8.self)
    #expect(try await exit == .status(0), "\(text)")
    try check(value)
    return text
  }
}
