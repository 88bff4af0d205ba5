import Configuration
import Support
import SystemPackage
import Testing

/// Holds the files that users install to what the program does.
@Suite("Installed files")
struct InstalledFilesTests {
  static let folder = FilePath(#filePath).removingLastComponent().appending("../../config").lexicallyNormalized()

  static func lines(_ name: String) throws -> [String] {
    let text = try #require(try Files.read(folder.appending(name)).map { String(decoding: $0, as: UTF8.self) })
    return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  /// One commented key: the line's index and what it would say.
  struct Example {
    var line: Int
    var key: String
    var value: String
  }

  static func examples(_ lines: [String]) -> [Example] {
    lines.enumerated().compactMap { index, line in
      line.wholeMatch(of: /#([A-Za-z_]+) = (.*)/).map { Example(line: index, key: "\($0.1)", value: "\($0.2)") }
    }
  }

  @Test("all that is not a comment is a section")
  func comments() throws {
    for name in ["workers.ini", "client.conf"] {
      let file = INI(try InstalledFilesTests.lines(name).joined(separator: "\n"))
      #expect(file.problems.isEmpty && !file.sections.isEmpty && file.sections.allSatisfy { $0.entries.isEmpty })
    }
  }

  @Test("as it is installed, it changes nothing")
  func untouched() throws {
    let installed = try Fixture(
      InstalledFilesTests.lines("workers.ini").joined(separator: "\n"),
      client: InstalledFilesTests.lines("client.conf").joined(separator: "\n")
    ).settings()
    #expect(installed == (try Fixture().settings()))
  }

  @Test("every key is explained, with its default and the variable that wins")
  func explained() throws {
    let lines = try InstalledFilesTests.lines("workers.ini")
    let examples = InstalledFilesTests.examples(lines)
    let known = Settings.Key.allCases.filter(\.isInFile)
    #expect(Set(examples.map(\.key)) == Set(known.map(\.rawValue) + Settings.WebUI.keys))
    for key in known {
      let example = try #require(examples.first { $0.key == key.rawValue }, "\(key)")
      let said = lines[example.line - 1]
      #expect(said.hasPrefix("# Default: "), "\(key)")
      if let standard = key.standard {
        #expect(said == "# Default: \(standard)" && example.value == standard, "\(key)")
      }
      if let variable = key.environmentVariable { #expect(lines.contains { $0.contains("$\(variable)") }, "\(key)") }
    }
  }

  @Test("each key can be used as it stands there")
  func usable() throws {
    let lines = try InstalledFilesTests.lines("workers.ini")
    var standard = try Fixture().settings()
    for example in InstalledFilesTests.examples(lines) {
      var changed = lines
      changed[example.line].removeFirst()
      var fixture = Fixture(changed.joined(separator: "\n"))
      fixture.options.instance = 1
      if Settings.WebUI.keys.prefix(2).contains(example.key) { fixture.options.hosts = "http://openqa.example.org" }
      var settings = try fixture.settings()
      #expect(settings.warnings.isEmpty, "\(example.key)")
      let item = (settings.items + settings.webUIs[0].items).first { $0.key == example.key }
      #expect(item?.value == example.value && item?.origins.first != .standard, "\(example.key)")
      guard Settings.Key(rawValue: example.key)?.standard != nil else { continue }
      // With a default uncommented only its source is another.
      (settings.items, settings.jobSettings, settings.instance) = ([], [:], 3)
      (standard.items, standard.jobSettings) = ([], [:])
      #expect(settings == standard, "\(example.key)")
    }
  }

  @Test("credentials can be used as they stand there")
  func credentials() throws {
    let lines = try InstalledFilesTests.lines("client.conf")
    let names = Set(InstalledFilesTests.examples(lines).map(\.key))
    #expect(names == ["key", "secret"])
    let text = lines.map { $0.wholeMatch(of: /#([a-z]+ = .*)/).map { "\($0.1)" } ?? $0 }.joined(separator: "\n")
    let settings = try Fixture("", client: text).settings()
    #expect(settings.webUIs[0].credentials?.key == "1234567890ABCDEF" && settings.warnings.isEmpty)
  }
}
