package import Support

/// A `result-MODULE.json` (protocol §6): what it refers to, and the text to send.
///
/// The text goes to the web UI as isotovideo wrote it, byte for byte, but for the `screenshot` values in its details:
/// building it anew from values would cost a multiple and could change what we don't understand. What a web UI would refuse
/// the whole status for is replaced as well, see ``problems``: test code can put anything into its results.
package struct ModuleResult: Sendable, Hashable {
  /// Names of the images in the details, in order of appearance.
  package private(set) var screenshots: [String] = []
  /// Names of text and audio files in the details.
  package private(set) var files: [String] = []
  /// The entries of `extra_test_results`, further results that this module brings along.
  package private(set) var extraTests: [JSON] = []

  /// Descriptions of the values that are replaced because a web UI refuses them.
  package private(set) var problems: [String] = []

  private let bytes: [UInt8]
  private var repairs: [Repair] = []
  /// Where in `bytes` each of `screenshots` stands.
  private var places: [Range<Int>] = []
  /// Where in `bytes` the module's own `result` stands.
  private var resultPlace: Range<Int>?

  /// A text that stands in the place of another one.
  private struct Repair: Hashable {
    var place: Range<Int>
    var text: String
  }

  /// What stands for a result that is no JSON object.
  package static let empty = ModuleResult()

  private init() { bytes = Array("{}".utf8) }

  /// Reads a result.
  /// - Throws: `JSONError` if it is no JSON object.
  package init(parsing bytes: [UInt8]) throws(JSONError) {
    self.bytes = bytes
    var reader = JSONReader(bytes)
    try reader.readObject { (reader, key) throws(JSONError) in
      switch key {
      case "details" where reader.peek() == UInt8(ascii: "["):
        try reader.readArray { (reader) throws(JSONError) in try readStep(&reader) }
      case "details": try skip(&reader, unless: "null", "the details are no list", orElse: "[]")
      case "result":
        let isScalar = reader.peek() != UInt8(ascii: "{") && reader.peek() != UInt8(ascii: "[")
        resultPlace = try reader.skipValue()
        if !isScalar, let resultPlace { repair(resultPlace, "the result is no text", "null") }
      case "extra_test_results": extraTests = try reader.readValue().array?.filter { $0.object != nil } ?? []
      default: _ = try reader.skipValue()
      }
    }
    try reader.finish()
  }

  private mutating func readStep(_ reader: inout JSONReader) throws(JSONError) {
    guard reader.peek() == UInt8(ascii: "{") else {
      return try skip(&reader, unless: "null", "an entry of the details is no object", orElse: "{}")
    }
    try reader.readObject { (reader, key) throws(JSONError) in
      let isReference = key == "screenshot" || key == "text" || key == "audio"
      if key == "needles" { return try readNeedles(&reader) }
      guard isReference, reader.peek() == UInt8(ascii: "\"") else {
        let first = reader.peek()
        let place = try reader.skipValue()
        // Web UIs take an object, and what Perl takes for nothing.
        if key == "screenshot", first != UInt8(ascii: "{"), try isTruthy(place) {
          repair(place, "a screenshot is no text", "null")
        }
        return
      }
      let start = reader.offset
      let name = try reader.readString()
      guard !name.isEmpty, name != "0" else { return }
      if key == "screenshot" {
        screenshots.append(name)
        places.append(start..<reader.offset)
      } else {
        files.append(name)
      }
    }
  }

  private mutating func readNeedles(_ reader: inout JSONReader) throws(JSONError) {
    let start = try reader.skipValue()
    let value = try JSON(parsing: bytes[start])
    let isUsable = value.array?.allSatisfy { $0 == .null || $0.object != nil } ?? (value == .null)
    if !isUsable { repair(start, "the needles are no list of objects", "null") }
  }

  private mutating func skip(
    _ reader: inout JSONReader, unless literal: String, _ problem: String, orElse text: String
  ) throws(JSONError) {
    let place = try reader.skipValue()
    if !bytes[place].elementsEqual(literal.utf8) { repair(place, problem, text) }
  }

  private func isTruthy(_ place: Range<Int>) throws(JSONError) -> Bool { try JSON(parsing: bytes[place]).isTruthy }

  private mutating func repair(_ place: Range<Int>, _ problem: String, _ text: String) {
    repairs.append(Repair(place: place, text: text))
    problems.append("\(problem): \(String(decoding: bytes[place].prefix(80), as: UTF8.self))")
  }

  /// The result's own `result`, as the web UI is told it, without any details.
  package var withoutDetails: [UInt8] {
    let text = resultPlace.flatMap { try? JSON(parsing: bytes[$0]).string } ?? nil
    return JSON.object(["result": text.map { .string($0) } ?? nil, "details": []]).bytes
  }

  /// The result's text with each screenshot's name replaced by `{"name":…,"md5":…}`, or by null without a checksum.
  /// - Parameters:
  ///   - isRunning: whether the module's own result is to read `running`, whatever it is.
  ///   - withheld: screenshots that the result is not to point at.
  package func text(
    isRunning: Bool = false, withholding withheld: Set<String> = [], md5: (String) -> String?
  ) -> [UInt8] {
    var replacements: [(place: Range<Int>, text: [UInt8])] = []
    for (name, place) in zip(screenshots, places) {
      guard !withheld.contains(name), let checksum = md5(name) else {
        replacements.append((place, Array("null".utf8)))
        continue
      }
      var text = Array(#"{"md5":"#.utf8)
      JSON.write(checksum, to: &text)
      text += #","name":"#.utf8
      JSON.write(name, to: &text)
      text += "}".utf8
      replacements.append((place, text))
    }
    let running = isRunning ? resultPlace : nil
    if let running { replacements.append((running, Array(#""running""#.utf8))) }
    for repair in repairs where repair.place != running { replacements.append((repair.place, Array(repair.text.utf8))) }
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count + 64 * replacements.count)
    var end = bytes.startIndex
    for (place, text) in replacements.sorted(by: { $0.place.lowerBound < $1.place.lowerBound }) {
      output.append(contentsOf: bytes[end..<place.lowerBound])
      output += text
      end = place.upperBound
    }
    output.append(contentsOf: bytes[end...])
    return output
  }
}
