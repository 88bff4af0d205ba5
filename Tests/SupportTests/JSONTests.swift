import Foundation
import Support
import Testing

@Suite("JSON")
struct JSONTests {
  @Test(
    "reads and writes",
    arguments: [
      ("null", "null"), ("true", "true"), (" [ 1 , 2 ] ", "[1,2]"), ("{}", "{}"), ("[]", "[]"),
      (#"{"b":1,"a":[true,null]}"#, #"{"a":[true,null],"b":1}"#),
      ("0.0", "0.0"), ("-0", "-0"), ("1e3", "1e3"), ("-9223372036854775808", "-9223372036854775808"),
      ("9223372036854775808", "9223372036854775808"),
      (#""a\/\u00fc\ud83d\ude00\n""#, "\"a/ü😀\\n\""), ("\"\u{7f}\"", #""\u007f""#), (#""\u0000""#, #""\u0000""#),
    ])
  func roundTrip(text: String, expected: String) throws {
    let value = try JSON(parsing: text)
    #expect(value.text == expected)
    #expect(try JSON(parsing: value.bytes) == value)
  }

  @Test(
    "refuses what is not JSON and says where",
    arguments: [
      ("", 0), ("<html>", 0), ("{\"a\":", 5), ("[1,]", 3), ("{\"a\":1,}", 7), ("nul", 0), ("01", 2), ("1.", 2),
      ("1e", 2),
      ("\"a", 2), ("\"\\x\"", 3), ("\"\\ud800\"", 7), ("\"\\u12\"", 3), ("\"\u{1}\"", 2), ("[1] 2", 4), ("{1:2}", 1),
      ("-", 0), ("+1", 0), (".5", 0), ("{\"a\" 1}", 5), ("\"\\u+123\"", 3),
    ])
  func refuses(text: String, offset: Int) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
    do { _ = try JSON(parsing: text) } catch { #expect(error.offset == offset, "\(error)") }
  }

  @Test("invalid UTF-8 in a string is refused")
  func invalidUTF8() {
    #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0xff, 0x22]) }
  }

  @Test("nesting has a limit instead of a stack overflow")
  func nesting() throws {
    let fine = String(repeating: "[", count: 256) + String(repeating: "]", count: 256)
    #expect(try JSON(parsing: fine).array?.count == 1)
    #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "[", count: 100_000)) }
    #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "{\"a\":", count: 100_000)) }
  }

  @Test("skipping tells where a value stands")
  func skipping() throws {
    var reader = JSONReader(Array(#" {"a" : [1, {"b":"]"}] , "c":2}"#.utf8))
    var places: [String: String] = [:]
    try reader.readObject { (reader, key) throws(JSONError) in
      let range = try reader.skipValue()
      places[key] = String(decoding: reader.bytes[range], as: UTF8.self)
    }
    try reader.finish()
    #expect(places == ["a": #"[1, {"b":"]"}]"#, "c": "2"])
  }

  /// Cut and mutated texts: never a crash, and Foundation agrees on what is JSON.
  @Test("agrees with Foundation on damaged texts")
  func damaged() throws {
    let source = Array(#"{"a":[1,-2.5e+3,"x\ny\u00e9",true,false,null],"b":{"c":{}},"d":"ü"}"#.utf8)
    var random = SystemRandomNumberGenerator()
    for round in 0..<3000 {
      var bytes = source
      if round % 2 == 0 { bytes.removeLast(Int.random(in: 0...bytes.count, using: &random)) }
      for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0x20...0x7e, using: &random)
      }
      let ours = (try? JSON(parsing: bytes)) != nil
      let theirs = (try? JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed])) != nil
      #expect(ours == theirs, "\(String(decoding: bytes, as: UTF8.self))")
    }
  }

  @Test(
    "Perl's truth",
    arguments: [
      (.null, false), ("", false), ("0", false), ("00", true), (0, false), (1, true), (.number("0.0"), false),
      (false, false), ([], true), ([:], true), ("x", true),
    ] as [(JSON, Bool)])
  func truth(value: JSON, expected: Bool) { #expect(value.isTruthy == expected) }
}
