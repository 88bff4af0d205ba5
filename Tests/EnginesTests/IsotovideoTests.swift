import Configuration
import Engines
import Foundation
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("The backend's program", .timeLimit(.minutes(1)))
struct IsotovideoTests {
  let home: TemporaryFolder
  let environment = [
    "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "PERL5OPT": "-w", "KEEP": "1",
  ]

  init() throws {
    home = try TemporaryFolder()
    for name in ["pool/1", "share/factory", "share/tests", "cache"] { try Files.makeDirectory(path(name)) }
  }

  func path(_ name: String) -> FilePath { home.path.appending(name) }

  var folders: Isotovideo.Folders {
    Isotovideo.Folders(
      pool: path("pool/1"), share: path("share"), tests: path("share/tests"), cache: path("cache"))
  }

  func isotovideo(_ program: FilePath) throws -> Isotovideo {
    var options = CommandLineOptions()
    options.isotovideo = program.string
    return Isotovideo(try Settings(options: options, environment: [:]) { _ in nil })
  }

  func script(_ name: String, _ text: String, mode: UInt32 = 0o755) throws -> FilePath {
    let file = path(name)
    try Files.makeDirectory(file.removingLastComponent())
    try Files.replace(file, with: Array(text.utf8), permissions: FilePermissions(rawValue: mode))
    return file
  }

  /// Runs a command and returns its end and what it printed.
  func run(_ command: Command) async throws -> (exit: ProcessExit, output: String) {
    let log = path("output")
    try Files.remove(log)
    let exit = try await Program.run(command, appendingTo: log)
    return (exit, String(decoding: try Files.read(log) ?? [], as: UTF8.self))
  }

  // MARK: The command

  @Test("perl runs the program in the pool, with the environment of its job")
  func plain() async throws {
    let program = try script(
      "iso.pl",
      #"""
      print join("|", @ARGV, map { $ENV{$_} // "-" }
        qw(OPENQA_HOSTNAME OPENQA_SHAREDIR TMPDIR MOJO_MAX_MESSAGE_SIZE MOJO_INACTIVITY_TIMEOUT MOJO_CONNECT_TIMEOUT
          MOJO_REACTOR QEMUPORT VNC PERL5OPT KEEP))
      """#,
      mode: 0o644)
    let command = try isotovideo(program).command(
      for: try variables([:]), folders: folders,
      environment: environment.merging(["MOJO_MAX_MESSAGE_SIZE": "5", "QEMUPORT": "1"]) { $1 })
    #expect(command.workingDirectory == path("pool/1"))
    let result = try await run(command)
    let mojo = "|300|300|Mojo::Reactor::Poll"
    #expect(result.output == "-d|w:80|\(path("share"))|\(path("pool/1/tmp"))|\(mojo)|20012|91||1")
  }

  @Test("a program that is not there is named, unless it is not needed")
  func missing() throws {
    let missing = try isotovideo("/nowhere/isotovideo")
    let failure = #expect(throws: SetupFailure.self) {
      _ = try missing.command(for: try variables([:]), folders: folders, environment: [:])
    }
    #expect(
      failure?.message.contains("/nowhere/isotovideo") == true && failure?.message.contains("--isotovideo") == true)
    #expect(failure?.fault == .noIsotovideo)
    _ = try missing.command(for: try variables(["ISOTOVIDEO": "true"]), folders: folders, environment: [:])
  }

  @Test("a program is looked for again each time")
  func installedLater() throws {
    let program = path("later.pl")
    let isotovideo = try isotovideo(program)
    #expect(isotovideo.problem()?.hasPrefix("isotovideo is not there: \(program)") == true)
    _ = try script("later.pl", "exit 0", mode: 0o644)
    #expect(isotovideo.problem() == nil)
  }

  @Test("without perl the failure says so")
  func perl() async throws {
    let program = try script("iso.pl", "exit 0")
    let command = try isotovideo(program).command(
      for: try variables([:]), folders: folders, environment: ["PATH": path("cache").string])
    let error = await #expect(throws: ProcessError.self) { _ = try await run(command) }
    #expect(error?.description.contains("perl") == true)
  }

  @Test("ISOTOVIDEO is a command line of a shell, and comes first")
  func line() async throws {
    let settings: [String: JSON] = [
      "ISOTOVIDEO": #"echo "$OPENQA_HOSTNAME in $(pwd)"; exit 3"#, "OS_AUTOINST_GIT_REPO": "r",
    ]
    let result = try await run(
      isotovideo("/nowhere").command(for: variables(settings), folders: folders, environment: environment))
    #expect(result.exit == .status(3) && result.output == "w:80 in \(path("pool/1"))\n")
  }

  // MARK: A container

  /// A podman that shows its arguments, a line each.
  func fakePodman() throws -> [String: String] {
    _ = try script("bin/podman", "#!/bin/sh\nfor a; do printf '<%s>\\n' \"$a\"; done\npwd\n")
    return environment.merging(["PATH": "\(path("bin")):/usr/bin:/bin"]) { $1 }
  }

  @Test("a container gets pool, share and cache, the host's network, and the repository's branch")
  func container() async throws {
    let settings: [String: JSON] = [
      "OS_AUTOINST_GIT_REPO": "https://git/os autoinst.git", "OS_AUTOINST_CONTAINER_IMAGE": "image:1",
      "OS_AUTOINST_GIT_BRANCH": "fix",
    ]
    let result = try await run(
      isotovideo("/nowhere").command(for: variables(settings), folders: folders, environment: fakePodman()))
    #expect(result.exit == .status(0))
    let lines = result.output.split(separator: "\n").map(String.init)
    #expect(lines.first == "<run>" && lines.last == path("pool/1").string)
    for argument in [
      "--rm", "--network=host", "--volume=\(path("pool/1")):\(path("pool/1"))",
      "--tmpfs=\(path("pool/1/.supervisor")):ro,notmpcopyup,size=4k,mode=0",
      "--volume=\(path("share")):\(path("share"))",
      "--volume=\(path("cache")):\(path("cache"))", "--env=OPENQA_HOSTNAME=w:80", "--env=TMPDIR=\(path("pool/1/tmp"))",
      "--env=MOJO_INACTIVITY_TIMEOUT=300", "--env=MOJO_MAX_MESSAGE_SIZE=", "--env=QEMUPORT=20012",
      "--workdir=\(path("pool/1"))", "image:1", "https://git/os autoinst.git", "fix", "--name=openqa-1",
    ] {
      #expect(lines.contains("<\(argument)>"), "\(argument)")
    }
    #expect(!result.output.contains("--volume=\(path("share/tests"))"), "it comes with the share")
    #expect(!result.output.contains("KEEP"), "the rest of the environment is the host's")
  }

  @Test("tests beside the share are mounted by themselves; without a branch the repository's own is taken")
  func mounts() async throws {
    var folders = folders
    folders.tests = path("tests")
    folders.cache = nil
    let settings: [String: JSON] = ["OS_AUTOINST_GIT_REPO": "r", "OS_AUTOINST_CONTAINER_IMAGE": "i"]
    let result = try await run(
      isotovideo("/nowhere").command(for: variables(settings), folders: folders, environment: fakePodman()))
    #expect(result.output.contains("<--volume=\(path("tests")):\(path("tests"))>"))
    #expect(result.output.contains("<r>\n<>\n<\(path("pool/1"))>\n"))
  }

  @Test("in the container: the branch is checked out, built, and started in the pool")
  func inside() async throws {
    // This podman does what the container would, with programs that only say what they were asked for.
    _ = try script("bin/podman", "#!/bin/sh\nwhile [ \"$1\" != image ]; do shift; done; shift; exec \"$@\"\n")
    for name in ["git", "cmake", "perl"] { _ = try script("bin/\(name)", "#!/bin/sh\necho \"\(name) $*\"\n") }
    let settings: [String: JSON] = [
      "OS_AUTOINST_GIT_REPO": "repo", "OS_AUTOINST_CONTAINER_IMAGE": "image", "OS_AUTOINST_GIT_BRANCH": "fix",
    ]
    let environment = environment.merging(["PATH": "\(path("bin")):/usr/bin:/bin"]) { $1 }
    let result = try await run(
      isotovideo("/nowhere").command(for: variables(settings), folders: folders, environment: environment))
    let lines = result.output.split(separator: "\n")
    #expect(lines.count == 4 && result.exit == .status(0))
    #expect(lines.first?.hasPrefix("git clone --depth 1 --branch=fix -- repo /") == true)
    #expect(lines.last?.hasPrefix("perl /") == true && lines.last?.hasSuffix("/isotovideo -d") == true)
  }

  static let incomplete: [(settings: [String: JSON], words: String)] = [
    (["OS_AUTOINST_CONTAINER_IMAGE": "i"], "OS_AUTOINST_CONTAINER_IMAGE is set without OS_AUTOINST_GIT_REPO"),
    (["OS_AUTOINST_GIT_REPO": "r"], "OS_AUTOINST_GIT_REPO is set without OS_AUTOINST_CONTAINER_IMAGE"),
    (["OS_AUTOINST_GIT_REPO": "r", "OS_AUTOINST_CONTAINER_IMAGE": "--privileged"], "'--privileged' is no image"),
  ]

  @Test("an image without a repository: the backend dies and says why", arguments: incomplete)
  func incompleteContainer(_ example: (settings: [String: JSON], words: String)) async throws {
    let result = try await run(
      isotovideo("/nowhere").command(for: variables(example.settings), folders: folders, environment: fakePodman()))
    #expect(result.exit == .status(1) && result.output.contains(example.words))
  }

  // MARK: The version

  /// A program that counts how often it is asked, beside an interface module.
  func program(version: Int, modes: UInt32 = 0o755) throws -> FilePath {
    _ = try script("lib/os-autoinst/OpenQA/Isotovideo/Interface.pm", "our $version = \(version);")
    let text = """
      #!/usr/bin/perl
      open(my $log, '>>', '\(path("asked"))'); print $log "x"; close $log;
      print "Current version is 4.6 [interface v\(version)]\\n";
      """
    return try script("bin/isotovideo", text, mode: modes)
  }

  var asked: Int { get throws { try Files.read(path("asked"))?.count ?? 0 } }

  @Test("asked once, through links as well, until the program or its interface changes")
  func version() async throws {
    let pool = try Pool(path("pool/1"))
    _ = try program(version: 34)
    try Files.symbolicLink(path("link"), to: path("bin/isotovideo"))
    let isotovideo = try isotovideo(path("link"))
    for _ in 0..<3 { #expect(try await isotovideo.interfaceVersion(environment: environment, pool: pool) == 34) }
    #expect(try asked == 1)
    try await pool.clean()
    #expect(try await isotovideo.interfaceVersion(environment: environment, pool: pool) == 34)
    #expect(try asked == 1, "a clean pool still knows")

    _ = try program(version: 1035)
    #expect(try await isotovideo.interfaceVersion(environment: environment, pool: pool) == 1035)
    _ = try script("lib/os-autoinst/OpenQA/Isotovideo/Interface.pm", "our $version = 1035; # changed")
    #expect(try await isotovideo.interfaceVersion(environment: environment, pool: pool) == 1035)
    #expect(try asked == 3)
  }

  static let spoilt = [
    "", "{", "[1]", #"{"key":1,"version":1}"#, #"{"version":1}"#, String(repeating: "x", count: 1 << 17),
  ]

  @Test("a record that cannot be read, or is another format's, is as good as none", arguments: spoilt)
  func spoiltRecord(_ content: String) async throws {
    let pool = try Pool(path("pool/1"))
    try await pool.write(".isotovideo-version", Array(content.utf8))
    let isotovideo = try isotovideo(program(version: 34))
    for _ in 0..<2 { #expect(try await isotovideo.interfaceVersion(environment: environment, pool: pool) == 34) }
    #expect(try asked == 1)
  }

  @Test("nothing is kept where it cannot be, or where the interface's module is not known")
  func notKept() async throws {
    let isotovideo = try isotovideo(program(version: 34))
    let pool = try Pool(path("gone/1"))
    for _ in 0..<2 { #expect(try await isotovideo.interfaceVersion(environment: environment, pool: pool) == 34) }
    #expect(try asked == 2)
    try Files.remove(path("lib"))
    let other = try Pool(path("pool/1"))
    for _ in 0..<2 { #expect(try await isotovideo.interfaceVersion(environment: environment, pool: other) == 34) }
    #expect(try asked == 4)
  }

  @Test("a program without the x bit is asked through perl, as jobs run it")
  func notExecutable() async throws {
    let isotovideo = try isotovideo(program(version: 34, modes: 0o644))
    #expect(try await isotovideo.interfaceVersion(environment: environment, pool: Pool(path("pool/1"))) == 34)
  }

  @Test("failures are in words that name the program")
  func failures() async throws {
    let pool = try Pool(path("pool/1"))
    func failure(_ program: FilePath) async throws -> String {
      let isotovideo = try isotovideo(program)
      let error = await #expect(throws: ProcessError.self) {
        _ = try await isotovideo.interfaceVersion(environment: environment, pool: pool, limit: .seconds(30))
      }
      return error?.description ?? ""
    }
    #expect(
      try await failure("/nowhere/isotovideo")
        == "isotovideo is not there: /nowhere/isotovideo: install os-autoinst, or give its path with --isotovideo")
    let silent = try script("silent", "#!/bin/sh\necho hello\n")
    #expect(try await failure(silent) == "\(silent) --version says nothing of an interface: hello")
    let failing = try script("failing", "#!/bin/sh\nexit 2\n")
    #expect(try await failure(failing) == "\(failing) failed with exit status 2")
  }

  @Test("a program that hangs, and whatever it has started, does not hold up the registration")
  func hanging() async throws {
    let isotovideo = try isotovideo(script("hanging", "#!/bin/sh\nsleep 50 &\nsleep 50\n"))
    let begin = ContinuousClock.now
    let error = await #expect(throws: ProcessError.self) {
      _ = try await isotovideo.interfaceVersion(
        environment: environment, pool: Pool(path("pool/1")), limit: .milliseconds(200))
    }
    #expect(error?.description.contains("did not end within 0.2 seconds") == true)
    #expect(ContinuousClock.now - begin < .seconds(40))
  }
}
