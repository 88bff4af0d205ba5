import Support
import Testing

@Suite("INI")
struct INITests {
  @Test("sections, entries, comments")
  func reading() {
    let file = INI("; c\r\n[global]\r\nHOST = a b ; no comment\n#x=y\n key=\nk += v=w\n[1,3-5]\na = 1\n[global]\n")
    #expect(file.sections.map(\.name) == ["global", "1,3-5", "global"])
    let entries = file.sections[0].entries.map { "\($0.line): \($0.key) \($0.appends ? "+=" : "=") '\($0.value)'" }
    #expect(entries == ["3: HOST = 'a b ; no comment'", "5: key = ''", "6: k += 'v=w'"])
    #expect(file.problems.isEmpty)
  }

  @Test("what is no INI is named with its line")
  func problems() {
    let file = INI("a = 1\n[x]\nnonsense\n= 3\n[unclosed\n")
    #expect(file.problems.map(\.line) == [1, 3, 4, 5])
    #expect(file.problems[1].description == "line 3: 'nonsense' is neither a [section] nor key = value")
  }
}
