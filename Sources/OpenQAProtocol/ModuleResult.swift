package import Support

/// A `result-MODULE.json` (protocol §6): what it refers to, and the text to send.
///
/// The text goes to the web UI as isotovideo wrote it, byte for byte, but for the `screenshot` values in its details:
/// building it anew from values would cost a multiple and could change what we don't understand.
package struct ModuleResult: Sendable, Hashable {
  /// Names of the images in the details, in order of appearance.
  package private(set) var screenshots: [String] = []
  /// Names of text and audio files in the details.
  package private(set) var files: [String] = []
  /// The entries of `extra_test_results`, further results that this module brings along.
  package private(set) var extraTests: [JSON] = []

  private let bytes: [UInt8]
  /// Where in `bytes` each of `screenshots` stands.
  private var places: [Range<Int>] = []
  /// Where in `bytes` the module's own `result` stands.
  private var resultPlace: Range<Int>?

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
      case "result": resultPlace = try reader.skipValue()
      case "extra_test_results": extraTests = try reader.readValue().array?.filter { $0.object != nil } ?? []
      default: _ = try reader.skipValue()
      }
    }
    try reader.finish()
  }

  private mutating func readStep(_ reader: inout JSONReader) throws(JSONError) {
    guard reader.peek() == UInt8(ascii: "{") else {
      _ = try reader.skipValue()
      return
    }
    try reader.readObject { (reader, key) throws(JSONError) in
      let isReference = key == "screenshot" || key == "text" || key == "audio"
      guard isReference, reader.peek() == UInt8(ascii: "\"") else {
        _ = try reader.skipValue()
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

  /// The result's text with each screenshot's name replaced by `{"name":…,"md5":…}`; one without a checksum keeps its name.
  /// - Parameters:
  ///   - isRunning: whether the module's own result is to read `running`, whatever it is.
  ///   - withheld: screenshots that the result is not to point at.
  package func text(
    isRunning: Bool = false, withholding withheld: Set<String> = [], md5: (String) -> String?
  ) -> [UInt8] {
    var replacements: [(place: Range<Int>, text: [UInt8])] = []
    for (name, place) in zip(screenshots, places) {
      if withheld.contains(name) {
        replacements.append((place, Array("null".utf8)))
        continue
      }
      guard let checksum = md5(name) else { continue }
      var text = Array(#"{"md5":"#.utf8)
      JSON.write(checksum, to: &text)
      text += #","name":"#.utf8
      JSON.write(name, to: &text)
      text += "}".utf8
      replacements.append((place, text))
    }
    if isRunning, let resultPlace { replacements.append((resultPlace, Array(#""running""#.utf8))) }
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
