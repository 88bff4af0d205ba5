import Foundation
import Support

/// What a JSON value is made of, without its values: the names of scalar types, the members of objects, the different
/// shapes of an array's elements.
func shape(_ value: JSON) -> JSON {
  switch value {
  case .null: "null"
  case .bool: "bool"
  case .integer: "integer"
  case .number: "number"
  case .string: "string"
  case .array(let elements): .array(Set(elements.map(shape)).sorted { $0.text < $1.text })
  case .object(let members): .object(members.mapValues(shape))
  }
}

/// The files of a real run that passed, and shapes of real runs that did not.
struct RealRun {
  private let fixture: JSON

  init() throws {
    let url = Bundle.module.bundleURL.appending(path: "Fixtures/basic-pool.json")
    fixture = try JSON(parsing: [UInt8](Data(contentsOf: url)))
  }

  /// `vars.json` as the backend finds it.
  var variables: JSON { fixture["vars"] ?? [:] }
  /// The paths in the pool that are the backend's own; directories end with a slash.
  var files: [String] { fixture["files"]?.array?.compactMap(\.string) ?? [] }
  /// `test_order.json`.
  var order: JSON? { fixture["order"] }
  /// Shapes of the run's files, by path.
  var shapes: [String: JSON] { fixture["shapes"]?.object?.mapValues(normalised) ?? [:] }
  /// The shape of a file of another run.
  func other(_ name: String) -> JSON? { fixture["other"]?[name].map(normalised) }

  /// Arrays in the order of ``shape(_:)``.
  private func normalised(_ value: JSON) -> JSON {
    switch value {
    case .array(let elements): .array(elements.map(normalised).sorted { $0.text < $1.text })
    case .object(let members): .object(members.mapValues(normalised))
    default: value
    }
  }
}
