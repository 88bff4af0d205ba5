/// Results or logs did not reach the web UI.
package struct UploadError: Error, Sendable, Hashable, CustomStringConvertible {
  package enum Code: Sendable, Hashable {
    /// The web UI did not take a status: it considers the job dead, or cannot be reached.
    case status
    /// Images or texts did not arrive; they are tried again in the next pass.
    case artefacts
    /// An asset did not arrive, and is not tried again.
    case asset
    /// The backend runs and has no tests.
    case noTestsScheduled
  }

  package var code: Code
  /// In words, naming the file.
  package var description: String

  package init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }
}
