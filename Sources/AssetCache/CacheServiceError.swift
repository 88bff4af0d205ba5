/// Why the cache service did not do what it was asked for, in the words that a job's reason has always had for it.
package struct CacheServiceError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What went wrong, by what it means for the caller.
  package enum Code: Sendable, Hashable {
    /// No answer. There may be one later.
    case connection
    /// An answer with this HTTP status.
    case status(Int)
    /// An answer that is not what the service says, or a question that cannot be sent.
    case malformed
  }

  package var code: Code
  package var description: String

  package init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }
}
