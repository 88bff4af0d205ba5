import HTTPServer
import Support
import SystemPackage

/// An upload on its way: the file is written to the disk as it arrives; its kind is known only after it.
struct ArrivingArtefact: Sendable {
  /// Bytes that are held before they are written.
  private static let pieceSize = 1 << 20

  /// The name of the part `file`; `nil` if there is none.
  private(set) var filename: String?
  private(set) var fields: [String: String] = [:]
  let temporary: FilePath

  /// Reads a `multipart/form-data` body, the file to `temporary`. A body that is none has no parts.
  /// - Throws: ``FileError`` where the file cannot be written.
  init(_ request: ServerRequest, to temporary: FilePath, on lane: IOLane) async throws {
    self.temporary = temporary
    do {
      var reader = try MultipartReader(request)
      while let part = try await reader.nextPart() {
        guard let filename = part.filename else {
          fields[part.name] = String(decoding: try await reader.collect(upTo: 1 << 16), as: UTF8.self)
          continue
        }
        guard part.name == "file" else { continue }
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
        self.filename = filename
      }
    } catch RequestError.malformed {
      filename = nil
      fields = [:]
    }
  }
}
