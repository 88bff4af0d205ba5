package import Support

/// How far a job's results are at the web UI, as developers get to see it (protocol §10): a needle can be made when the
/// module that is paused is there with all its images.
package struct UploadProgress: Sendable, Hashable {
  /// The last module that is being uploaded; nil while there is none.
  package var upTo: String?
  /// Whether that is the module that runs, or is paused.
  package var isUpToCurrent = false
  /// Images that the web UI has not got yet.
  package var outstandingImages = 0
  /// Texts and sounds that the web UI has not got yet.
  package var outstandingFiles = 0

  package init() {}

  /// The body of `POST upload_progress`.
  package var json: JSON {
    [
      "upload_up_to": upTo.map { .string($0) } ?? nil,
      "upload_up_to_current_module": upTo == nil ? nil : isUpToCurrent ? 1 : 0,
      "outstanding_images": .integer(Int64(outstandingImages)),
      "outstanding_files": .integer(Int64(outstandingFiles)),
    ]
  }
}
