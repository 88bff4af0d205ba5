package import Support

/// An entry of `test_order.json` or of a result's `extra_test_results` (protocol §6): a module of the test.
package struct TestOrderEntry: Sendable, Hashable {
  /// The module's name, which is part of a file's name.
  package let name: String
  /// The entry as a web UI takes it: it refuses a whole status for an entry in which something is missing or odd.
  package let json: JSON

  /// Reads an entry; nil for one without a name that can be part of a file's name.
  package init?(_ json: JSON) {
    guard let name = TestOrderEntry.text(json["name"]), !name.isEmpty,
      !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 })
    else { return nil }
    self.name = name
    var json = json
    json["name"] = .string(name)
    for key in ["category", "script"] { json[key] = .string(TestOrderEntry.text(json[key]) ?? "") }
    if let flags = json["flags"], flags != .null, flags.object == nil { json["flags"] = [:] }
    self.json = json
  }

  /// The text of a string or number.
  private static func text(_ json: JSON?) -> String? {
    if case .bool = json { return nil }
    return json?.scalar
  }
}
