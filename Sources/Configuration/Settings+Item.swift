extension Settings {
  /// One thing that is or could be configured, to show to people.
  package struct Item: Sendable, Hashable {
    package var key: String
    /// What counts; nil for nothing.
    package var value: String?
    /// Where it comes from; several places if `+=` put it together.
    package var origins: [Origin]

    /// The value without what is secret in it.
    package var shownValue: String? {
      guard let value, !value.isEmpty else { return value }
      return isSecret ? "********" : value.replacing(/:\/\/[^\/\s]*@/, with: "://********@")
    }

    /// Whether the value must not be shown.
    package var isSecret: Bool {
      let name = key.uppercased()
      return name.contains("PASSWORD") || name.contains("SECRET")
    }
  }
}
