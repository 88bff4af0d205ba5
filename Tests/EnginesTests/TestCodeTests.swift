import Configuration
import Engines
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

func variables(_ values: [String: JSON]) throws -> JobVariables {
  var job = try JobInfo(["id": 1, "settings": .object(values)])
  let settings = try Settings(options: CommandLineOptions(), environment: [:]) { _ in nil }
  return try JobVariables(
    job: &job, settings: settings, webUI: WebUIAddress("http://w:80/"), workerID: 7, share: "/share")
}

@Suite("Test code and needles")
struct TestCodeTests {
  struct Case: Sendable {
    var settings: [String: JSON]
    var existing: Set<FilePath> = []
    var expected: [String: String]
    var links: [String] = []
  }

  static let product: FilePath = "/t/opensuse/products/opensuse"
  static let cases: [Case] = [
    Case(
      settings: [:], expected: ["CASEDIR": "opensuse", "PRODUCTDIR": "opensuse"], links: ["opensuse -> /t/opensuse"]),
    Case(
      settings: ["VERSION": "15"], existing: ["/t/opensuse-15"],
      expected: ["CASEDIR": "opensuse-15", "PRODUCTDIR": "opensuse-15"], links: ["opensuse-15 -> /t/opensuse-15"]),
    Case(
      settings: [:], existing: [product],
      expected: ["CASEDIR": "opensuse", "PRODUCTDIR": "opensuse/products/opensuse"],
      links: ["opensuse -> /t/opensuse"]),
    Case(
      settings: ["CASEDIR": "https://git/x.git"], existing: [product],
      expected: ["CASEDIR": "https://git/x.git", "PRODUCTDIR": "products/opensuse", "NEEDLES_DIR": "needles"],
      links: ["needles -> /t/opensuse/products/opensuse/needles"]),
    Case(
      settings: ["CASEDIR": "/mine"], expected: ["PRODUCTDIR": ".", "NEEDLES_DIR": "needles"],
      links: ["needles -> /t/opensuse/needles"]),
    Case(
      settings: ["CASEDIR": "https://git/x.git", "NEEDLES_DIR": "https://git/n.git"],
      expected: ["NEEDLES_DIR": "https://git/n.git", "PRODUCTDIR": "."]),
    Case(
      settings: ["CASEDIR": "https://git/x.git", "NEEDLES_DIR": "%CASEDIR%/a/nn"], expected: ["NEEDLES_DIR": "nn"],
      links: ["nn -> x/a/nn"]),
    Case(
      settings: ["NEEDLES_DIR": "special"], expected: ["CASEDIR": "opensuse", "NEEDLES_DIR": "special"],
      links: ["opensuse -> /t/opensuse", "special -> /t/opensuse/needles"]),
    Case(
      settings: ["ABSOLUTE_TEST_CONFIG_PATHS": "1"],
      expected: ["CASEDIR": "/t/opensuse", "PRODUCTDIR": "/t/opensuse"]),
    Case(
      settings: ["ABSOLUTE_TEST_CONFIG_PATHS": "1", "PRODUCTDIR": "p"],
      expected: ["CASEDIR": "/t/opensuse", "PRODUCTDIR": "p", "NEEDLES_DIR": "/t/opensuse/needles"]),
    Case(
      settings: ["CASEDIR": "other"], existing: ["/t/other/products/opensuse"],
      expected: ["CASEDIR": "other", "PRODUCTDIR": "other/products/opensuse", "NEEDLES_DIR": "needles"],
      links: ["other -> /t/other", "needles -> /t/other/products/opensuse/needles"]),
    Case(
      settings: ["CASEDIR": "git@host:a/x.git", "NEEDLES_DIR": "%CASEDIR%/n"],
      expected: ["CASEDIR": "git@host:a/x.git", "NEEDLES_DIR": "n"], links: ["n -> x/n"]),
    Case(
      settings: ["CASEDIR": "/mine", "NEEDLES_DIR": "%CASEDIR%/needles"], expected: ["NEEDLES_DIR": "needles"],
      links: ["needles -> /mine/needles"]),
    Case(
      settings: ["NEEDLES_DIR": "../needles"], expected: ["CASEDIR": "opensuse", "NEEDLES_DIR": "needles"],
      links: ["opensuse -> /t/opensuse", "needles -> /t/opensuse/needles"]),
    Case(
      settings: ["NEEDLES_DIR": "/own/needles"], expected: ["NEEDLES_DIR": "/own/needles"],
      links: ["opensuse -> /t/opensuse"]),
    Case(
      settings: ["PRODUCTDIR": "p"], expected: ["CASEDIR": "opensuse", "PRODUCTDIR": "p", "NEEDLES_DIR": "needles"],
      links: ["opensuse -> /t/opensuse", "needles -> /t/opensuse/needles"]),
    Case(
      settings: ["ABSOLUTE_TEST_CONFIG_PATHS": "1", "CASEDIR": "/mine"], existing: [product],
      expected: [
        "CASEDIR": "/mine", "PRODUCTDIR": "products/opensuse", "NEEDLES_DIR": "\(product)/needles",
      ]),
  ]

  static let unusable: [(settings: [String: JSON], message: String)] = [
    (["DISTRI": "../.."], "DISTRI: '../..' leads out of /t; write a folder's name there"),
    (["DISTRI": ".."], "DISTRI: '..' leads out of /t; write a folder's name there"),
    (["CASEDIR": "a/../../x"], "CASEDIR: 'a/../../x' leads out of /t; write a folder's name there"),
    (["VERSION": "1/../../x"], "VERSION: '1/../../x' leads out of /t; write a folder's name there"),
    (["DISTRI": "a\nb"], "DISTRI: 'a?b' is no path"),
    (["CASEDIR": "/a\0b"], "CASEDIR: '/a?b' is no path"),
    (["NEEDLES_DIR": .string(String(repeating: "n", count: 5000))], "NEEDLES_DIR"),
    (["NEEDLES_DIR": ".."], "NEEDLES_DIR: '..' cannot be the name of a link in the pool"),
    (["NEEDLES_DIR": "x/.locked"], "NEEDLES_DIR: '.locked' cannot be the name of a link in the pool"),
    (["NEEDLES_DIR": "vars.json"], "NEEDLES_DIR: 'vars.json' cannot be the name of a link in the pool"),
    (["DISTRI": "testresults"], "CASEDIR: 'testresults' cannot be the name of a link in the pool"),
  ]

  @Test("what would lead out of the root or the pool is refused by name", arguments: unusable)
  func refused(_ example: (settings: [String: JSON], message: String)) throws {
    var values = try variables(["DISTRI": "opensuse"].merging(example.settings) { $1 })
    let failure = #expect(throws: SetupFailure.self) { _ = try TestCode(&values, root: "/t") { _ in true } }
    #expect(failure?.category == .setup && failure?.message.hasPrefix(example.message) == true, "\(failure as Any)")
    #expect((failure?.message.count ?? 0) < 300)
  }

  @Test("settings and links", arguments: cases)
  func plan(_ example: Case) throws {
    var values = try variables(example.settings.merging(["DISTRI": "opensuse"]) { $1 })
    let code = try TestCode(&values, root: "/t") { example.existing.contains($0) }
    for (name, value) in example.expected { #expect(values[name] == value, "\(name)") }
    #expect(example.expected["NEEDLES_DIR"] != nil || values["NEEDLES_DIR"] == nil)
    #expect(code.links.map { "\($0.name) -> \($0.target)" } == example.links)
  }

  @Test("a missing directory is named")
  func missing() throws {
    let folder = try TemporaryFolder()
    var values = try variables(["DISTRI": "gone"])
    let code = try TestCode(&values, root: folder.path) { _ in false }
    #expect(throws: SetupFailure(.setup, "The source directory \(folder.path)/gone does not exist")) {
      try code.link(in: folder.path)
    }
  }
}

@Suite("A job's variables")
struct JobVariablesTests {
  @Test("the worker's settings win, an administrator's stay the administrator's")
  func layers() throws {
    var job = try JobInfo([
      "id": 3,
      "settings": ["A": "job", "B": "job", "GENERAL_HW_CMD_DIR": "/x", "EXTERNAL_VIDEO_ENCODER_CMD": "rm", "N": nil],
    ])
    let settings = try Settings(options: CommandLineOptions(), environment: [:]) { path in
      path == "/etc/openqa/workers.ini" ? "[global]\nA = worker\nGENERAL_HW_CMD_DIR = /mine\n" : nil
    }
    let values = try JobVariables(
      job: &job, settings: settings, webUI: WebUIAddress("https://w:81/x"), workerID: 9, share: "/s"
    ).values
    #expect(values["A"] == "worker" && values["B"] == "job" && values["N"] == .null)
    #expect(values["GENERAL_HW_CMD_DIR"] == "/mine" && values["EXTERNAL_VIDEO_ENCODER_CMD"] == nil)
    #expect(values["OPENQA_HOSTNAME"] == "w:81" && values["OPENQA_URL"] == "https://w:81/x")
    #expect(values["WORKER_ID"] == 9 && values["WORKER_INSTANCE"] == 1)
    #expect(values["QEMUPORT"] == "20012" && values["VNC"] == "91" && values["PRJDIR"] == "/s")
    #expect(job.settings["A"] == "worker" && job.settings["WORKER_ID"] == nil && job.settings["QEMUPORT"] == "20012")
  }

  @Test("the hook that fetches assets is the administrator's; so is all that names a program")
  func forbidden() throws {
    let names = [
      "GENERAL_HW_CMD_DIR", "GIT_CACHE_DIR", "GIT_CACHE_DIR_LIMIT", "SYNC_ASSETS_HOOK", "EXTERNAL_VIDEO_ENCODER",
    ]
    let values = try variables(Dictionary(uniqueKeysWithValues: names.map { ($0, "x") }))
    for name in names { #expect(values.values[name] == nil, "\(name)") }
    #expect(try variables(["GIT_CACHE": "x"])["GIT_CACHE"] == "x")
  }

  @Test(
    "long jobs have no video unless they ask for it",
    arguments: [
      (["MAX_JOB_TIME": "7201"], 1), (["MAX_JOB_TIME": 8000], 1), (["MAX_JOB_TIME": "7200"], nil),
      (["MAX_JOB_TIME": "4000", "TIMEOUT_SCALE": "3"], nil), (["MAX_JOB_TIME": "long"], nil), ([:], nil),
      (["MAX_JOB_TIME": "9000", "NOVIDEO": "0"], "0"),
    ] as [([String: JSON], JSON?)])
  func video(_ settings: [String: JSON], _ expected: JSON?) throws {
    #expect(try variables(settings).values["NOVIDEO"] == expected)
  }

  @Test("placeholders see the worker's settings, and the job is shown what came of them")
  func placeholders() throws {
    var job = try JobInfo([
      "id": 3, "settings": ["A": "%WORKER_INSTANCE%/%VNC%", "PRJDIR": "/own", "L": "%L%", "M": "%A%"],
    ])
    let settings = try Settings(options: CommandLineOptions(), environment: [:]) { _ in nil }
    let values = try JobVariables(
      job: &job, settings: settings, webUI: WebUIAddress("w"), workerID: 9, share: "/s")
    #expect(values["A"] == "1/91" && job.settings["A"] == "1/91" && values["PRJDIR"] == "/own")
    #expect(values.unresolvable?.description == "The setting L refers to itself: L -> L")
    #expect(values["L"] == "%L%" && values["M"] == "%A%" && job.settings["WORKER_INSTANCE"] == nil)
  }
}

@Suite("Assets")
struct AssetLinksTests {
  @Test("settings that name assets")
  func naming() throws {
    let values = try variables([
      "ISO": "a.iso", "ISO_1": "b.iso", "ISO_MAXSIZE": "5", "HDD_2": "c", "HDD_": "no", "UEFI_PFLASH_VARS": "/abs",
      "UEFI_PFLASH_CODE": "code", "KERNEL": "k", "INITRD": "/i", "ASSET_10": "x", "REPO_0": "r", "HDD_1": "",
      "HDD_3": "0", "ISO_²": "z",
    ])
    let assets = AssetLinks.assets(in: values).map { "\($0.setting) \($0.type)/\($0.name)" }
    #expect(
      assets == [
        "ASSET_10 other/x", "HDD_2 hdd/c", "ISO iso/a.iso", "ISO_1 iso/b.iso", "KERNEL other/k",
        "UEFI_PFLASH_CODE hdd/code",
      ])
  }

  @Test("found, linked, named; what is missing or leads out of the share is not")
  func linking() throws {
    let folder = try TemporaryFolder()
    let (factory, pool) = (folder.path.appending("factory"), folder.path.appending("pool"))
    for name in ["iso", "hdd/fixed", "other"] { try Files.makeDirectory(factory.appending(name)) }
    try Files.makeDirectory(pool)
    try Files.replace(factory.appending("iso/a b.iso"), with: [1])
    try Files.replace(factory.appending("hdd/fixed/f.qcow2"), with: [2])
    try Files.symbolicLink(factory.appending("other/l"), to: factory.appending("iso/a b.iso"))
    try Files.replace(folder.path.appending("secret"), with: [3])
    var values = try variables(["ISO": "a b.iso", "HDD_1": "f.qcow2", "ASSET_1": "l", "UEFI_PFLASH_VARS": "none"])
    try AssetLinks.link(&values, factory: factory, pool: pool)
    #expect(
      Files.status(of: pool.appending("a b.iso"))?.identity
        == Files.status(of: factory.appending("iso/a b.iso"))?.identity)
    #expect(try Files.read(pool.appending("f.qcow2")) == [2])
    #expect(Files.linkTarget(pool.appending("l")) == factory.appending("other/l"))
    #expect(values["UEFI_PFLASH_VARS"] == "none")

    for name in ["gone.iso", "../../secret", "/etc/passwd", "x/../a b.iso"] {
      var bad = try variables(["ISO_1": .string(name)])
      #expect(throws: SetupFailure(.asset, "Cannot find ISO_1 asset iso/\(name)!")) {
        try AssetLinks.link(&bad, factory: factory, pool: pool)
      }
    }
    var absolute = try variables(["ISO": "a b.iso", "ABSOLUTE_TEST_CONFIG_PATHS": "1"])
    try AssetLinks.link(&absolute, factory: factory, pool: pool)
    #expect(absolute["ISO"] == factory.appending("iso/a b.iso").string)
  }
}

@Suite("Pool", .timeLimit(.minutes(1)))
struct PoolTests {
  @Test("cleaning keeps what has to stay; the lock is exclusive")
  func life() async throws {
    let folder = try TemporaryFolder()
    let pool = try Pool(folder.path.appending("pool/3"))
    let lock = try await pool.lock()
    for name in [".hidden", "worker_packages.txt", "vars.json", "qemu.pid", "serial0.txt", "autoinst-log.txt"] {
      try await pool.write(name, Array("999999999".utf8))
    }
    try Files.makeDirectory(pool.path.appending("testresults/.thumbs"))
    try Files.symbolicLink(pool.path.appending("lab"), to: "/usr")
    try await pool.beginLogs()
    #expect(try await pool.read("autoinst-log.txt") == nil)
    #expect(try await pool.read("worker-log.txt") == [])
    try await pool.clean()
    #expect(try Files.names(in: pool.path) == [".hidden", ".locked", "worker_packages.txt"])
    let other = try Pool(pool.path)
    let failure = await #expect(throws: PoolFailure.self) { _ = try await other.lock() }
    #expect(failure?.description.contains("is another worker using it?") == true)
    _ = lock
  }
}
