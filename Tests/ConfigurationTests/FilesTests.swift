import Configuration
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Configuration files")
struct FilesTests {
  struct Search: Sendable, CustomTestStringConvertible {
    var present: [String]
    var read: [String]
    var testDescription: String { present.joined(separator: " ") }

    init(_ present: [String], _ read: [String]) { (self.present, self.read) = (present, read) }
  }

  @Test(
    "the first directory that has workers.ini, with its drop-ins",
    arguments: [
      Search([], []),
      Search(["/etc/openqa/", "/usr/etc/openqa/"], ["/etc/openqa/"]),
      Search(["/usr/etc/openqa/"], ["/usr/etc/openqa/"]),
      Search(["/c/", "/etc/openqa/"], ["/c/"]),
      Search(["/home/.config/openqa/"], []),
      Search(
        ["/etc/openqa/.d/b", "/etc/openqa/.d/a", "/etc/openqa/"],
        ["/etc/openqa/", "/etc/openqa/.d/a", "/etc/openqa/.d/b"]),
      Search(["/c/.d/a", "/etc/openqa/"], ["/c/.d/a"]),
      Search(["/etc/openqa/.d/a", "/usr/etc/openqa/"], ["/usr/etc/openqa/", "/etc/openqa/.d/a"]),
      Search(["/etc/openqa/", "/usr/etc/openqa/.d/a"], ["/etc/openqa/"]),
    ])
  func search(search: Search) throws {
    func path(_ short: String) -> String {
      guard let range = short.firstRange(of: ".d/") else { return "\(short)workers.ini" }
      return "\(short[..<range.lowerBound])workers.ini.d/\(short[range.upperBound...]).ini"
    }
    let files = Dictionary(uniqueKeysWithValues: search.present.map { (path($0), "[global]\nX = 1\n") })
    let settings = try Fixture(files: files, environment: ["OPENQA_CONFIG": "/c", "HOME": "/home"]).settings()
    #expect(settings.files.map(\.string) == search.read.map(path))
    #expect(settings.warnings.isEmpty == !search.read.isEmpty)
  }

  @Test("client.conf can be the user's own")
  func client() throws {
    let text = "[localhost]\nkey = k\nsecret = s\n"
    func files(_ environment: [String: String], _ paths: String...) throws -> [FilePath] {
      let files = Dictionary(uniqueKeysWithValues: paths.map { ($0, text) })
      return try Fixture(files: files, environment: environment).settings().files
    }
    let (own, system) = ("/home/.config/openqa/client.conf", "/etc/openqa/client.conf")
    let home = ["HOME": "/home"]
    #expect(try files(home, own, system) == [FilePath(own)])
    #expect(try files([:], own, system) == [FilePath(system)])
    #expect(try files(home, "/home/.config/openqa/client.conf.d/x.conf", system).count == 1)
    #expect(try files(home, "/home/.config/openqa/client.conf.d/x.ini", system) == [FilePath(system)])
    #expect(try files(["HOME": "/home", "OPENQA_CONFIG": "/c"], own, "/c/client.conf") == ["/c/client.conf"])
  }

  @Test("drop-ins override key by key, in lexical order; only the right names count")
  func dropIns() throws {
    let directory = "/etc/openqa/workers.ini.d"
    let settings = try Fixture(files: [
      "/etc/openqa/workers.ini":
        "[global]\nA = main\nB = main\nC = main\nWORKER_CLASS = x\n[3]\nA = slot\n[1-9]\nD = r\n",
      "\(directory)/2.ini": "[global]\nB = two\nC = two\n",
      "\(directory)/10.ini": "[global]\nB = ten\na = ten\n[3]\nD = 3\n",
      "\(directory)/3.ini": "[global]\nworker_class += y\n[1-9]\nd = ranged\n",
      "\(directory)/4.conf": "[global]\nB = no\n",
      "\(directory)/.5.ini": "[global]\nB = hidden\n", "\(directory)/6.ini~": "[global]\nB = backup\n",
    ]).settings()
    let jobs = settings.jobSettings
    #expect(jobs["A"] == "slot" && jobs["B"] == "two" && jobs["C"] == "two" && jobs["D"] == "ranged")
    #expect(settings.workerClass == "x,y" && settings.warnings.isEmpty)
    #expect(
      settings.item("WORKER_CLASS")
        == "x,y <- /etc/openqa/workers.ini:5 [global], /etc/openqa/workers.ini.d/3.ini:2 [global]")
  }

  @Test("what can't be read is named, and what comes next is taken")
  func forbidden() throws {
    var fixture = Fixture(files: ["/etc/openqa/workers.ini": "[global]\nX = 1\n"])
    fixture.environment = ["OPENQA_CONFIG": "/c"]
    fixture.forbidden = ["/c/workers.ini", "/c/workers.ini.d", "/etc/openqa/client.conf"]
    let settings = try fixture.settings()
    #expect(settings.jobSettings["X"] == "1")
    #expect(
      settings.warnings == [
        "open /c/workers.ini: Permission denied; /c/workers.ini is left out",
        "open /c/workers.ini.d: Permission denied; the drop-ins of /c/workers.ini.d are left out",
        "open /etc/openqa/client.conf: Permission denied; /etc/openqa/client.conf is left out",
      ])
  }

  @Test("lines that are no INI, repetitions, foreign bytes and odd sections are named with their place")
  func oddities() throws {
    let settings = try Fixture(
      "X = 1\n[global]\nnonsense s3cret\nA = first\nA = second\na = other\n[3] ; no\nB = 1\n[Global]\nC = 1\n[1-,3]\nD = \u{FFFD}\n"
    ).settings()
    let file = "/etc/openqa/workers.ini"
    #expect(
      settings.warnings == [
        "\(file):1: stands before the first [section]; left out",
        "\(file):3: neither a [section] nor key = value; left out",
        "\(file):7: not a [section] alone on its line; left out, with what belongs to it",
        "\(file):5 [global]: A is twice in this section of the file; the first one counts",
        "\(file):12 [1-,3]: D: what is not UTF-8 was replaced; write the file in UTF-8",
        "\(file):9: section [Global] is left out: global is written in lower case",
        "\(file):11: section [1-,3]: '1-' is neither a number nor a range; write [1] or [1,3-5]",
      ])
    let jobs = settings.jobSettings
    #expect(jobs["A"] == "other" && jobs["B"] == nil && jobs["C"] == nil && jobs["D"] == "\u{FFFD}")
  }

  @Test("files of this host: a long line, bytes that are not UTF-8, and a directory in a file's place")
  func system() throws {
    let folder = try TemporaryFolder()
    let long = String(repeating: "x", count: 1 << 20)
    try Files.makeDirectory(folder.path.appending("workers.ini.d/1.ini"))
    try Files.makeDirectory(folder.path.appending("client.conf"))
    try Files.replace(
      folder.path.appending("workers.ini"), with: Array("[global]\nLONG = \(long)\nBYTES = a".utf8) + [0xFF, 0x0A])
    try Files.replace(folder.path.appending("workers.ini.d/2.ini"), with: Array("[global]\nX = 2\n".utf8))
    let settings = try Settings(
      options: CommandLineOptions(), environment: ["OPENQA_CONFIG": folder.path.string, "HOME": folder.path.string])
    #expect(settings.jobSettings["LONG"] == .string(long) && settings.jobSettings["X"] == "2")
    #expect(settings.jobSettings["BYTES"] == "a\u{FFFD}")
    let shown = settings.warnings.filter { $0.contains(folder.path.string) }.joined(separator: "\n")
    #expect(shown.contains("workers.ini:3 [global]: BYTES: what is not UTF-8"))
    #expect(shown.contains("workers.ini.d/1.ini is left out") && shown.contains("client.conf is left out"))
  }

  @Test("a file with secrets that every user can read is warned of, others are not")
  func exposedSecrets() throws {
    let folder = try TemporaryFolder()
    func write(_ name: String, _ text: String, _ permissions: CModeT) throws {
      let permissions = FilePermissions(rawValue: permissions)
      try Files.replace(folder.path.appending(name), with: Array(text.utf8), permissions: permissions)
    }
    func warnings() throws -> [String] {
      try Settings(options: CommandLineOptions(), environment: ["OPENQA_CONFIG": folder.path.string]).warnings
    }
    let workers = folder.path.appending("workers.ini")
    let clients = folder.path.appending("client.conf")
    let secret = "[global]\nHOST = w\nX_PASSWORD = a\nMY_SECRET = b\n"
    try write("workers.ini", secret, 0o640)
    try write("client.conf", "[w]\nkey = k\nsecret = s\n", 0o600)
    #expect(try warnings().isEmpty)
    try write("workers.ini", secret, 0o644)
    try write("client.conf", "[w]\nkey = k\nsecret = s\n", 0o604)
    func warning(_ path: FilePath, _ keys: String) -> String {
      "\(path) has secrets (\(keys)) and every user of this host can read it: let the group of the worker's user own it, "
        + "and run chmod 640 \(path)"
    }
    #expect(try warnings() == [warning(clients, "secret"), warning(workers, "MY_SECRET, X_PASSWORD")])
    try write("client.conf", "[other]\nkey = k\nsecret = s\n", 0o604)
    try write("workers.ini", "[global]\nHOST = w\nX_PASSWORD =\nWORKER_CLASS = x\n", 0o644)
    #expect(try warnings().isEmpty)
  }
}
