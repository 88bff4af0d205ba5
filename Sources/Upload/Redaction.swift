package import Support

/// Takes secrets out of a job's variables before people see them (protocol §7).
package enum Redaction {
  /// What stands for a secret.
  static let mark = JSON.string("[redacted]")

  /// The text of a `vars.json` with the values of secret variables replaced, the rest as it was.
  /// - Throws: `JSONError`; such a text is not to be shown to anybody.
  package static func redact(_ variables: [UInt8]) throws(JSONError) -> [UInt8] {
    var places: [Range<Int>] = []
    let isHidden = try hidingRule(in: variables)
    var reader = JSONReader(variables)
    try reader.readObject { (reader, key) throws(JSONError) in
      let place = try reader.skipValue()
      if key.contains("_PASSWORD") || key.hasPrefix("_SECRET_") || isHidden(key) { places.append(place) }
    }
    try reader.finish()
    var output: [UInt8] = []
    var end = 0
    for place in places {
      output.append(contentsOf: variables[end..<place.lowerBound])
      mark.write(to: &output)
      end = place.upperBound
    }
    return output + variables[end...]
  }

  /// `_HIDE_SECRETS_REGEX` of the variables themselves.
  private static func hidingRule(in variables: [UInt8]) throws(JSONError) -> (String) -> Bool {
    guard let text = try JSON(parsing: variables)["_HIDE_SECRETS_REGEX"]?.string, !text.isEmpty else {
      return { _ in false }
    }
    // An expression that we cannot read might hide anything: then everything is hidden.
    guard let expression = try? Regex(text) else { return { _ in true } }
    return { $0.firstMatch(of: expression) != nil }
  }
}
