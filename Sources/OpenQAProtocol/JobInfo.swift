package import Support

/// A job as the web UI hands it out (protocol §3.2, JOB).
///
/// What we act on is checked; the rest is kept, since the whole job goes back with each status while it runs.
package struct JobInfo: Sendable, Hashable {
  /// The web UI's number of the job.
  package let id: Int64
  /// The job as it came, with what has been laid over since.
  package var json: JSON

  /// Takes a job apart.
  /// - Throws: ``ProtocolError`` for a job without a usable id or without settings.
  package init(_ json: JSON) throws(ProtocolError) {
    guard json.object != nil else { throw ProtocolError("the job is no object") }
    guard let id = json["id"].flatMap(JobInfo.id(of:)) else { throw ProtocolError("the job has no id") }
    guard json["settings"]?.object != nil else { throw ProtocolError("the job has no settings") }
    self.id = id
    self.json = json
  }

  /// The job's settings.
  package var settings: [String: JSON] {
    get { json["settings"]?.object ?? [:] }
    set { json["settings"] = .object(newValue) }
  }

  /// A setting's text; nil if it is not set, null or no scalar.
  package func setting(_ name: String) -> String? { json["settings"]?[name]?.scalar }

  /// A job id, which web UIs send as a number or as a string of digits.
  package static func id(of json: JSON) -> Int64? {
    guard let text = json.scalar, let id = Int64(text), id > 0 else { return nil }
    return id
  }
}
