import Support

/// What of a job has arrived at its web UI, as far as this process has brought it.
package struct UploadTally: Sendable, Hashable {
  /// Files, thumbnails and pieces of assets.
  package var items = 0
  /// Of their content.
  package var bytes: Int64 = 0

  package init() {}
}

extension Observed<UploadTally> {
  /// Notes that something has arrived.
  func note(bytes: Int64) {
    change {
      $0.items += 1
      $0.bytes = $0.bytes.addingSaturating(bytes)
    }
  }
}
