import OpenQAProtocol
import Support
import Testing

@Suite("A module's result")
struct ModuleResultTests {
  static let source = #"""
    {"dents": 0, "details" : [
      {"screenshot":"boot-1.png","result":"ok","area":[{"screenshot":"not-this.png"}],"error":0.0},
      {"text":"boot-2.txt","title":"t \"screenshot\":\"x\""}, null, "screenshot",
      {"audio":"boot-3.wav","screenshot":null}, {"screenshot":"b\u00fc-4.png"}, {"screenshot":""}
    ], "result":"ok", "extra_test_results":[{"name":"extra","category":"x","flags":{},"script":"unk"}, 3]}
    """#

  @Test("names what it refers to")
  func references() throws {
    let result = try ModuleResult(parsing: Array(Self.source.utf8))
    #expect(result.screenshots == ["boot-1.png", "bü-4.png"])
    #expect(result.files == ["boot-2.txt", "boot-3.wav"])
    #expect(result.extraTests == [["name": "extra", "category": "x", "flags": [:], "script": "unk"]])
  }

  @Test("only the screenshots' names are rewritten")
  func splicing() throws {
    let result = try ModuleResult(parsing: Array(Self.source.utf8))
    #expect(result.text { _ in nil } == Array(Self.source.utf8))
    let text = String(decoding: result.text { "md5 of \($0)" }, as: UTF8.self)
    #expect(text.contains(#""screenshot":{"md5":"md5 of boot-1.png","name":"boot-1.png"},"result":"ok""#))
    #expect(text.contains(#"{"screenshot":{"md5":"md5 of bü-4.png","name":"bü-4.png"}}"#))
    #expect(text.contains(#""error":0.0"#))
    #expect(text.contains(#""area":[{"screenshot":"not-this.png"}]"#))
    let running = String(decoding: result.text(isRunning: true) { _ in nil }, as: UTF8.self)
    #expect(running == Self.source.replacing(#""result":"ok", "extra"#, with: #""result":"running", "extra"#))
    let before = try JSON(parsing: Self.source)
    let after = try JSON(parsing: text)
    #expect(after["dents"] == before["dents"])
    #expect(after["details"]?.array?.count == 7)
  }

  @Test("what is no object is refused", arguments: ["", "[]", "{", "null", #"{"details":[}"#, "{}x"])
  func refused(text: String) {
    #expect(throws: JSONError.self) { try ModuleResult(parsing: Array(text.utf8)) }
  }

  @Test(
    "unusual shapes are kept", arguments: ["{}", #"{"details":null}"#, #"{"details":{"a":1}}"#, #"{"details":[]}"#])
  func kept(text: String) throws {
    #expect(try ModuleResult(parsing: Array(text.utf8)).text { _ in "x" } == Array(text.utf8))
  }
}
