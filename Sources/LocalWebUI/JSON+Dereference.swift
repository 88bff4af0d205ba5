import Support

/// JSON as openQA's code takes it apart: null stands for an empty object or array, anything else of another type is refused with
/// the text that Perl has for it. Texts end where the real ones go on with a source file and line.
extension JSON {
  /// Returns the members of an object; none for null.
  /// - Throws: ``Refusal`` for any other value.
  func members() throws(Refusal) -> [String: JSON] {
    switch self {
    case .object(let members): return members
    case .null: return [:]
    default: throw mismatch("a HASH")
    }
  }

  /// Returns the elements of an array; none for null.
  /// - Throws: ``Refusal`` for any other value.
  func elements() throws(Refusal) -> [JSON] {
    switch self {
    case .array(let elements): return elements
    case .null: return []
    default: throw mismatch("an ARRAY")
    }
  }

  /// The value as text, as it would be stored: up to the first NUL. `nil` for null and objects, which are refused.
  var storedText: String? {
    let text: String? = if case .array = self { "{}" } else { scalar }
    return text.map { String($0.prefix { $0 != "\0" }) }
  }

  /// The value as Perl reads it where a number is expected: a text's leading digits; 0 for anything that has none.
  var looseNumber: Double {
    guard let text = scalar else { return 0 }
    let digits = text.drop { $0.isWhitespace }
    for end in digits.indices.reversed() {
      if let number = Double(digits[...end]) { return number }
    }
    return 0
  }

  private func mismatch(_ kind: String) -> Refusal {
    let text: String
    switch self {
    case .string(let value), .number(let value): text = value
    case .integer(let value): text = String(value)
    case .null, .bool, .array, .object: return Refusal(400, "Not \(kind) reference")
    }
    // Perl cuts after 32 bytes, and openQA cannot send the rest of a character.
    guard let start = String(validating: text.utf8.prefix(32), as: UTF8.self) else { return .internalError }
    let rest = text.utf8.count > 32 ? "..." : ""
    return Refusal(400, "Can't use string (\"\(start)\"\(rest)) as \(kind) ref while \"strict refs\" in use")
  }
}
