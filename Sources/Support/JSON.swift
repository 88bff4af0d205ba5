/// A JSON value that keeps what it was read from: integers stay integers, other numbers keep their literal, so that what
/// we only pass on goes back as it came.
///
/// Our own rather than Foundation's, which is several times slower than the programs we talk to and turns `0.0` into `0`.
public enum JSON: Sendable, Hashable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// A number that is no 64-bit integer, as written.
  case number(String)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  /// The member `key` of an object; nil for anything else and for members that are not there.
  public subscript(key: String) -> JSON? {
    get {
      guard case .object(let members) = self else { return nil }
      return members[key]
    }
    set {
      guard case .object(var members) = self else { return }
      members[key] = newValue
      self = .object(members)
    }
  }

  /// The text of a string.
  public var string: String? { if case .string(let text) = self { text } else { nil } }

  /// The elements of an array.
  public var array: [JSON]? { if case .array(let elements) = self { elements } else { nil } }

  /// The members of an object.
  public var object: [String: JSON]? { if case .object(let members) = self { members } else { nil } }

  /// The value of an integer.
  public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }

  /// What a setting of this value reads as: text, a number's digits, `1` and `0` for booleans. Nil for null, arrays and
  /// objects.
  public var scalar: String? {
    switch self {
    case .string(let text), .number(let text): text
    case .integer(let value): String(value)
    case .bool(let value): value ? "1" : "0"
    case .null, .array, .object: nil
    }
  }

  /// Whether Perl would call it true, which is what the programs at the other end mean by their flags.
  public var isTruthy: Bool {
    switch self {
    case .null: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .number(let text): Double(text) != 0
    case .string(let text): !text.isEmpty && text != "0"
    case .array, .object: true
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  /// A string.
  public init(stringLiteral value: String) { self = .string(value) }
  /// An integer.
  public init(integerLiteral value: Int64) { self = .integer(value) }
  /// `true` or `false`.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// An array.
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// An object; of members with one name the last counts.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { $1 }))
  }
  /// Null.
  public init(nilLiteral: ()) { self = .null }
}
