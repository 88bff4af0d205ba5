package import SystemPackage
import Transport
package import WebUIClient

/// A file to upload, and what it is for the web UI (protocol §6, `POST jobs/ID/artefact`).
package struct Artefact: Sendable, Hashable {
  package enum Kind: Sendable, Hashable {
    /// A screenshot, known by the MD5 sum that it had when isotovideo wrote it.
    case image(md5: String)
    /// The small picture of a screenshot.
    case thumbnail(md5: String)
    /// A text or sound that a module's details name.
    case detail
    /// A log that the test made.
    case testLog
    /// Any other file of the job.
    case log
  }

  package var kind: Kind
  /// What the web UI calls it.
  package var name: String
  package var path: FilePath
  /// What is sent in the place of the file's content; nil for just that.
  package var content: [UInt8]?
  /// Bytes of the file when it was found, if it was looked at then.
  package var size: Int64?

  package init(_ kind: Kind, name: String, path: FilePath, content: [UInt8]? = nil) {
    self.kind = kind
    self.name = name
    self.path = path
    self.content = content
  }

  /// The call that uploads it.
  package func call(job: Int64) -> WebUIClient.Call {
    var call = WebUIClient.Call(.post, "jobs/\(job)/artefact")
    call.lane = .bulk
    call.expectsJSON = false
    let fields: [(name: String, value: String)] =
      switch kind {
      case .image(let md5): [("image", "1"), ("md5", md5), ("thumb", "0")]
      case .thumbnail(let md5): [("image", "1"), ("md5", md5), ("thumb", "1")]
      case .detail: [("image", "0"), ("thumb", "0")]
      case .testLog: [("ulog", "1")]
      case .log: []
      }
    call.body = .multipart(
      [MultipartPart(name: "file", filename: name, content: content.map { .bytes($0) } ?? .file(path))]
        + fields.map { MultipartPart(name: $0.name, content: .bytes(Array($0.value.utf8))) })
    return call
  }
}
