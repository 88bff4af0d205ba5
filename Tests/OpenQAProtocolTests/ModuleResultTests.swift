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

  static let harmlessTexts: [(source: String, told: String)] = [
    (#"{"details":"x"}"#, #"{"details":[]}"#), (#"{"details": 5 ,"a":1}"#, #"{"details": [] ,"a":1}"#),
    (#"{"details":{"a":1}}"#, #"{"details":[]}"#), (#"{"details":true}"#, #"{"details":[]}"#),
    (#"{"details":null}"#, #"{"details":null}"#),
    (#"{"details":["s",5,true,[1],null,{}]}"#, #"{"details":[{},{},{},{},null,{}]}"#),
    (
      #"{"details":[{"screenshot":5},{"screenshot":true},{"screenshot":["a"]},{"screenshot":-1.5}]}"#,
      #"{"details":[{"screenshot":null},{"screenshot":null},{"screenshot":null},{"screenshot":null}]}"#
    ),
    (
      #"{"details":[{"screenshot":0},{"screenshot":false},{"screenshot":""},{"screenshot":{"name":"x"}}]}"#,
      #"{"details":[{"screenshot":0},{"screenshot":false},{"screenshot":""},{"screenshot":{"name":"x"}}]}"#
    ),
    (#"{"details":[{"screenshot":"gone.png"}]}"#, #"{"details":[{"screenshot":null}]}"#),
    (
      #"{"details":[{"needles":"s"},{"needles":{}},{"needles":[1]},{"needles":[[]]},{"needles":true}]}"#,
      #"{"details":[{"needles":null},{"needles":null},{"needles":null},{"needles":null},{"needles":null}]}"#
    ),
    (
      #"{"details":[{"needles":null},{"needles":[]},{"needles":[null,{"json":1}]}]}"#,
      #"{"details":[{"needles":null},{"needles":[]},{"needles":[null,{"json":1}]}]}"#
    ),
    (#"{"result":{"-in":[1]},"details":[]}"#, #"{"result":null,"details":[]}"#),
    (#"{"result":["ok"]}"#, #"{"result":null}"#), (#"{"result":5}"#, #"{"result":5}"#),
    (#"{"details":"x","details":[7]}"#, #"{"details":[],"details":[{}]}"#),
  ]

  @Test("what a web UI would refuse is replaced, everything else stays", arguments: harmlessTexts)
  func harmless(source: String, told: String) throws {
    let result = try ModuleResult(parsing: Array(source.utf8))
    #expect(String(decoding: result.text { _ in nil }, as: UTF8.self) == told)
    #expect(result.problems.isEmpty == (source == told || source.contains("gone.png")), "\(result.problems)")
    let running = try JSON(parsing: result.text(isRunning: true) { _ in nil })
    #expect(running["result"] == (source.contains("result") ? "running" : nil))
  }

  @Test("without details, a module still has its result")
  func withoutDetails() throws {
    func told(_ text: String) throws -> JSON {
      try JSON(parsing: try ModuleResult(parsing: Array(text.utf8)).withoutDetails)
    }
    #expect(try told(Self.source) == ["result": "ok", "details": []])
    #expect(try told(#"{"result":{}}"#) == ["result": nil, "details": []])
    #expect(try told("{}") == ["result": nil, "details": []])
  }

  @Test("only the screenshots' names are rewritten")
  func splicing() throws {
    let result = try ModuleResult(parsing: Array(Self.source.utf8))
    let text = String(decoding: result.text { "md5 of \($0)" }, as: UTF8.self)
    #expect(text.contains(#""screenshot":{"md5":"md5 of boot-1.png","name":"boot-1.png"},"result":"ok""#))
    #expect(text.contains(#"{"screenshot":{"md5":"md5 of bü-4.png","name":"bü-4.png"}}"#))
    #expect(text.contains(#""error":0.0"#))
    #expect(text.contains(#""area":[{"screenshot":"not-this.png"}]"#))
    let running = String(decoding: result.text(isRunning: true) { "md5 of \($0)" }, as: UTF8.self)
    #expect(running == text.replacing(#""result":"ok", "extra"#, with: #""result":"running", "extra"#))
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
    "unusual shapes are kept", arguments: ["{}", #"{"details":null}"#, #"{"details":[]}"#])
  func kept(text: String) throws {
    #expect(try ModuleResult(parsing: Array(text.utf8)).text { _ in "x" } == Array(text.utf8))
  }
}
