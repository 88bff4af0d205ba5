import FoundationEssentials

/// Base64 (RFC 4648), as workers send pictures; line breaks may be in it.
enum Base64 {
  /// The bytes that `text` stands for; nil if it is no base64.
  static func decode(_ text: String) -> [UInt8]? {
    Data(base64Encoded: text, options: .ignoreUnknownCharacters).map(Array.init)
  }
}
