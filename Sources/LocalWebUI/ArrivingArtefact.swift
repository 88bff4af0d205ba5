import HTTPServer
import Support
import SystemPackage

/// An upload on its way: the file goes to the disk as it comes, its kind is known only after it.
struct ArrivingArtefact: Sendable {
  /// Bytes that are held before they are written.
  private static let pieceSize = 1 << 20

  /// The file's name as the worker gave it.
  private(set) var name = ""
  private(set) var fields: [String: String] = [:]
  let temporary: FilePath

  /// Reads a `multipart/form-data` body, the file to `temporary`.
  /// - Throws: `RequestError`; `FileError` where it cannot be written.
  init(_ request: ServerRequest, to temporary: FilePath, on lane: IOLane) async throws {
    self.temporary = temporary
    var reader = try MultipartReader(request)
    while let part = try await reader.nextPart() {
      guard let filename = part.filename else {
        fields[part.name] = String(decoding: try await reader.collect(upTo: 1 << 16), as: UTF8.self)
        continue
      }
      name = filename
      try await lane.run { try Files.replace(temporary, with: []) }
      var piece: [UInt8] = []
      var isLast = false
      while !isLast {
        if let chunk = try await reader.nextChunk() { piece += chunk } else { isLast = true }
        if isLast || piece.count >= ArrivingArtefact.pieceSize {
          let full = piece
          try await lane.run { try Files.append(full, to: temporary) }
          piece = []
        }
      }
    }
    guard ArrivingArtefact.isPlain(name) else {
      throw RequestError.malformed("the form has no file, or one with an impossible name")
    }
  }

  /// Whether a name stays in its folder.
  static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && !name.contains("/") && !name.contains("\0") && name != "." && name != ".."
  }

  /// Where the file belongs in its job's folder.
  var place: String {
    if fields["image"] == "1" { return fields["thumb"] == "1" ? ".thumbs/\(name)" : name }
    return fields["ulog"] == "1" ? "ulogs/\(name)" : name
  }

  /// The asset that the upload is, or a chunk of; nil for any other file.
  /// - Throws: `RequestError` for a scope that there is not.
  func asset() throws(RequestError) -> ArrivingAsset? {
    guard let scope = fields["asset"] else { return nil }
    return try ArrivingAsset(scope: scope, name: name)
  }

  /// The image's MD5 sum as isotovideo wrote it.
  var image: String? { fields["image"] == "1" && fields["thumb"] != "1" ? fields["md5"] : nil }
}
