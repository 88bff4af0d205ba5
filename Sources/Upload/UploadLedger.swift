package import SystemPackage

/// Which of a job's logs and assets are at the web UI already, for whoever uploads them after an interruption.
package struct UploadLedger: Sendable {
  /// Whether this file has arrived.
  package var hasArrived: @Sendable (FilePath) -> Bool
  /// Notes that it has.
  package var note: @Sendable (FilePath) async -> Void

  package init(
    hasArrived: @escaping @Sendable (FilePath) -> Bool = { _ in false },
    note: @escaping @Sendable (FilePath) async -> Void = { _ in }
  ) {
    self.hasArrived = hasArrived
    self.note = note
  }
}
