import Engines
import Support
import TestSupport
import Testing

@Suite("Placeholders")
struct PlaceholdersTests {
  static let settings: [String: JSON] = [
    "A": "a", "B": "%A%b", "N": 5, "NIL": nil, "LIST": ["x"], "E": "", "Ä_1": "umlaut", "LITERAL": "%%A%%",
  ]

  static let cases: [(text: String, expected: String)] = [
    ("plain", "plain"), ("", ""), ("%A%", "a"), ("x%A%y", "xay"), ("%B%-%A%", "ab-a"), ("%N%", "5"),
    ("%Ä_1%", "umlaut"),
    ("%GONE%", ""), ("%NIL%", ""), ("%LIST%", ""), ("%E%", ""),
    ("%%A%%", "%A%"), ("%%A%", "%A"), ("%A%%", "A%"), ("%%%A%%%", "%%A%%"), ("%LITERAL%", "%A%"),
    ("%CASEDIR%/x", "%CASEDIR%/x"), ("%%CASEDIR%%", "%%CASEDIR%%"), ("%%CASEDIR%", "%%CASEDIR%"),
    ("100% of %A%", "100% of a"), ("50%A%B%", "50aB%"), ("%A%B%A%", "aBa"), ("%A B%", "%A B%"), ("%", "%"),
    ("%%", "%%"),
    ("%A", "%A"), ("A%", "A%"), ("%A-B%", "%A-B%"), ("%A%%B%", "A%B%"),
  ]

  @Test("table", arguments: cases)
  func table(_ example: (text: String, expected: String)) {
    var settings = Self.settings.merging(["X": .string(example.text)]) { $1 }
    #expect(Placeholders.resolve(&settings) == nil)
    #expect(settings["X"] == .string(example.expected))
    #expect(settings["N"] == 5 && settings["NIL"] == .null && settings["LIST"] == ["x"], "what is no text stays")
  }

  @Test("a cycle ends the pass and is named; what was resolved before stays")
  func cycle() {
    var settings: [String: JSON] = ["A": "%Z%", "B": "%C%", "C": "%D%", "D": "%B%", "Y": "%Z%", "Z": "z"]
    #expect(Placeholders.resolve(&settings)?.description == "The setting B refers to itself: B -> C -> D -> B")
    #expect(settings == ["A": "z", "B": "%C%", "C": "%D%", "D": "%B%", "Y": "%Z%", "Z": "z"])
    var own: [String: JSON] = ["A": "x%A%"]
    #expect(Placeholders.resolve(&own)?.description == "The setting A refers to itself: A -> A")
  }

  @Test("settings that name each other twice do not fill the memory", .timeLimit(.minutes(1)))
  func growth() {
    var settings: [String: JSON] = ["X00": "0123456789"]
    for index in 1...60 {
      let before = "%X\(index < 11 ? "0" : "")\(index - 1)%"
      settings["X\(index < 10 ? "0" : "")\(index)"] = .string("\(before) \(before)")
    }
    #expect(Placeholders.resolve(&settings)?.description.contains("grows beyond") == true)
    #expect(settings["X02"] == "0123456789 0123456789 0123456789 0123456789")
  }

  @Test("a megabyte of percent signs", .timeLimit(.minutes(1)))
  func long() {
    // A sanitizer makes it ten times slower.
    let text = String(repeating: "%a", count: isSanitized ? 1 << 15 : 1 << 19)
    var settings: [String: JSON] = ["X": .string(text)]
    #expect(Placeholders.resolve(&settings) == nil)
    #expect(settings["X"]?.string?.isEmpty == false)
  }
}
