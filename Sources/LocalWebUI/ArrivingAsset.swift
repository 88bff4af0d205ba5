import HTTPServer
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

  /// - Throws: `RequestError` for a scope that there is not, or a name that is none.
  init(scope: String, name: String) throws(RequestError) {
    guard ["private", "public"].contains(scope) else { throw .malformed("there are no assets '\(scope)'") }
    guard !name.isEmpty, !name.contains("/"), !name.contains("\0"), name != ".", name != ".." else {
      throw .malformed("an asset cannot be called '\(name)'")
    }
    self.scope = scope
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
    let chunk = try StorableChunk(image: content)
    guard chunk.isIntact else { throw ProtocolError("chunk \(chunk.index): the content is not what its sum says") }
    let temporary = temporary(in: home)
    if chunk.index == 1 { try begin(temporary) }
    let size = Files.status(of: temporary, followsLinks: false)?.size ?? 0
    // A chunk that comes again takes its own place.
    guard chunk.start <= size else { throw ProtocolError("chunk \(chunk.index): bytes before it are missing") }
    try write(chunk.content, at: chunk.start, of: temporary)
    guard chunk.isLast else { return false }
    let sum = StorableChunk.text(of: try Files.digest(.sha256, of: temporary))
    guard sum == chunk.totalChecksum else {
      discard(in: home)
      throw ProtocolError("\(name): Checksum mismatch expected \(chunk.totalChecksum) got: \(sum)")
    }
    try Files.move(temporary, to: home.appending(place))
    return true
  }

  /// Copies the asset from where its worker has it.
  /// - Throws: `FileError`.
  func copy(_ source: FilePath, in home: FilePath) throws {
    let temporary = temporary(in: home)
    try begin(temporary)
    guard let status = Files.status(of: source), status.kind == .file else {
      throw FileError("read", source, .invalidArgument)
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
