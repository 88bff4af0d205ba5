import Support

/// Parameters in a URL.
package enum Query {
  /// `name=value&…`, everything but letters, digits and `-._~` escaped, a space as `+`, as forms have it.
  package static func text(_ parameters: [(name: String, value: String)]) -> String {
    parameters.map { "\(escaped($0.name))=\(escaped($0.value))" }.joined(separator: "&")
  }

  private static func escaped(_ text: String) -> String {
    var output: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        output.append(byte)
      case UInt8(ascii: " "): output.append(UInt8(ascii: "+"))
      default: output.append(contentsOf: "%\([byte].hexadecimal.uppercased())".utf8)
      }
    }
    return String(decoding: output, as: UTF8.self)
  }
}
