import OpenQAProtocol
import Support
import SystemPackage

/// An asset that comes in chunks, or that lies on this host (protocol §8). All its methods that take a folder block: they
/// belong on a lane.
struct ArrivingAsset: Sendable {
  /// The most that a chunk may be.
  private static let maximumImageSize = 1 << 30
  /// Bytes that are held of a file that is read.
  private static let pieceSize = 1 << 20

  private let scope: String
  private let name: String

  /// - Parameter name: a name for which ``ArtefactCheck/isPlain(_:)`` holds.
  init(scope: String, name: String) {
    self.scope = scope == "public" ? scope : "private"
    self.name = name
  }

  /// Where the asset belongs in its job's folder.
  var place: String { "assets/\(scope)/\(name)" }

  /// Takes a chunk, the file at `image`, which is removed. Whether the asset is complete.
  /// - Throws: `ProtocolError` for a chunk that is none, is damaged or in the wrong place, or completes another asset than
  ///   was meant; `FileError`.
  func take(chunk image: FilePath, in home: FilePath) throws -> Bool {
    defer { try? Files.remove(image) }
    let content = try Files.read(image, limit: ArrivingAsset.maximumImageSize) ?? []
    let chunk = try ArrivingAsset.chunk(content)
    let temporary = temporary(in: home)
    // Chunks are taken in any order: bytes that are missing show in the sum of the whole.
    if !Files.exists(temporary) { try begin(temporary) }
    guard chunk.isIntact else {
      // What has arrived cannot be completed any more: openQA throws it away as well.
      if chunk.isLast { discard(in: home) }
      throw ProtocolError("Can't verify written data from chunk")
    }
    try write(chunk.content, at: chunk.start, of: temporary)
    guard chunk.isLast else { return false }
    let sum = StorableChunk.text(of: try Files.digest(.sha256, of: temporary))
    guard sum == chunk.totalChecksum else {
      discard(in: home)
      throw ProtocolError(
        "Checksum mismatch expected \(chunk.totalChecksum) got: \(sum) ( weak check on last bytes )")
    }
    try Files.move(temporary, to: home.appending(place))
    return true
  }

  /// Reads a chunk.
  /// - Throws: ``ProtocolError`` with Perl's texts for an image that is none.
  private static func chunk(_ image: [UInt8]) throws(ProtocolError) -> StorableChunk {
    guard image.count > 2, image[0] == 0x05 else {
      throw ProtocolError("Magic number checking on storable string failed")
    }
    do { return try StorableChunk(image: image) } catch {
      // Perl has another text for each of these: all of them are a chunk that is not whole.
      throw ProtocolError("Can't use an undefined value as a HASH reference (\(error))")
    }
  }

  /// Copies the asset from where its worker has it.
  /// - Throws: ``ProtocolError`` if there is no such file; ``FileError``.
  func copy(_ source: FilePath, in home: FilePath) throws {
    let temporary = temporary(in: home)
    try begin(temporary)
    guard let status = Files.status(of: source) else {
      throw ProtocolError("Can't copy file \"\(source)\" to \"\(temporary)\": No such file or directory")
    }
    guard status.kind == .file else {
      throw ProtocolError("Can't copy file \"\(source)\" to \"\(temporary)\": Is a directory")
    }
    do {
      let reading = try FileDescriptor.open(source, .readOnly, options: [.nonBlocking, .closeOnExec])
      try reading.closeAfter {
        while true {
          let piece = try [UInt8](unsafeUninitializedCapacity: ArrivingAsset.pieceSize) { buffer, count in
            count = try reading.read(into: UnsafeMutableRawBufferPointer(buffer))
          }
          if piece.isEmpty { return }
          try Files.append(piece, to: temporary)
        }
      }
    } catch let error as Errno {
      throw FileError("read", source, error)
    }
    try Files.move(temporary, to: home.appending(place))
  }

  /// Forgets what has arrived of an asset that is not complete.
  func discard(in home: FilePath) { try? Files.remove(temporary(in: home)) }

  private func temporary(in home: FilePath) -> FilePath { home.appending("assets/.\(scope)-\(name).arriving") }

  private func begin(_ temporary: FilePath) throws(FileError) {
    var folder = temporary.removingLastComponent()
    folder.append(scope)
    try Files.makeDirectory(folder)
    try Files.replace(temporary, with: [])
  }

  private func write(_ content: [UInt8], at offset: Int64, of path: FilePath) throws(FileError) {
    do {
      let file = try FileDescriptor.open(path, .writeOnly, options: [.closeOnExec, .noFollow])
      try file.closeAfter { _ = try file.writeAll(toAbsoluteOffset: offset, content) }
    } catch {
      throw FileError("write", path, error as? Errno ?? .ioError)
    }
  }
}
