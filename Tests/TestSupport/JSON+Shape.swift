package import Support

extension JSON {
  /// The names and types of a value's parts, to any depth: what has to be equal where values differ from run to run.
  package var shape: JSON {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .integer, .number: "number"
    case .string: "string"
    case .array(let elements): .array(elements.map(\.shape))
    case .object(let members): .object(members.mapValues(\.shape))
    }
  }
}
