import Support
import Testing

@Suite("INI")
struct INITests {
  @Test("sections, entries, comments")
  func reading() {
    let file = INI("; c\r\n[global]\r\nHOST = a b ; no comment\n#x=y\n key=\nk += v=w\n[1,3-5]\na = 1\n[global]\n")
    #expect(file.sections.map { "\($0.line): \($0.name)" } == ["2: global", "7: 1,3-5", "9: global"])
    let entries = file.sections[0].entries.map { "\($0.line): \($0.key) \($0.appends ? "+=" : "=") '\($0.value)'" }
    #expect(entries == ["3: HOST = 'a b ; no comment'", "5: key = ''", "6: k += 'v=w'"])
    #expect(file.problems.isEmpty)
  }

  @Test("what is no INI is named with its line, and the rest is read")
  func problems() {
    let file = INI("a = 1\n[x]\nnonsense\n= 3\n+= 4\nb = 2\n[unclosed\nc = 3\n[] \n[y] ; z\nd = 4\n[z]\ne = 5\n")
    #expect(file.problems.map(\.line) == [1, 3, 4, 5, 7, 9, 10])
    #expect(
      file.problems.map(\.kind) == [.outside, .unreadable, .unreadable, .unreadable, .section, .section, .section])
    #expect(file.sections.map(\.name) == ["x", "z"])
    #expect(file.sections.map { $0.entries.map(\.key) } == [["b"], ["e"]])
    #expect(file.problems[1].description == "neither a [section] nor key = value; left out")
  }

  @Test(
    "texts from elsewhere",
    arguments: [
      "\u{FEFF}[x]\nk = v\n", "[x]\rk = v\r", "[x]\r\nk = v\r\n", "  [ x ]  \n\tk\t=\u{0B} v \u{0C}\n", "[x]\nk = v",
    ])
  func foreign(text: String) {
    let file = INI(text)
    #expect(file.problems.isEmpty)
    #expect(file.sections.map(\.name) == ["x"])
    #expect(file.sections.first?.entries.map { [$0.key, $0.value] } == [["k", "v"]])
  }

  @Test("marks that combine with our own characters, brackets in names, and lines of any length")
  func odd() {
    let long = String(repeating: "x", count: 1 << 20)
    let file = INI("[[::1]]\na =\u{301}b\nc = \(long)\nd = \u{FFFD}\u{0}\n")
    #expect(file.problems.isEmpty)
    #expect(file.sections[0].name == "[::1]")
    #expect(file.sections[0].entries.map(\.value) == ["\u{301}b", long, "\u{FFFD}\u{0}"])
  }

  @Test("nothing is no problem", arguments: ["", "\n", "# only this", " \t ; \n"])
  func empty(text: String) {
    let file = INI(text)
    #expect(file.sections.isEmpty && file.problems.isEmpty)
  }
}
