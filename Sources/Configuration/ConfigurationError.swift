/// The configuration cannot be used as it is.
package struct ConfigurationError: Error, Hashable, CustomStringConvertible {
  /// What is wrong, where, and what to write instead.
  package var description: String

  package init(_ description: String) { self.description = description }
}
