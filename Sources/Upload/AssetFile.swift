import Glibc
package import Support
package import SystemPackage

/// A file that a test made for other jobs (protocol §8). All its methods block: they belong on the pool's lane.
package struct AssetFile: Sendable, Hashable {
  /// Who may use it.
  package enum Scope: String, Sendable, Hashable, CaseIterable {
    /// The job's successors.
    case `private`
    /// Every job.
    case `public`
  }

  package var scope: Scope
  package var name: String
  package var path: FilePath
  /// What the file was when it was found.
  package var status: Files.Status

  /// Bytes.
  package var size: Int64 { status.size }

  /// The assets in a pool, private ones first. What is no plain file is left out, as with logs; hidden files are nobody's
  /// asset.
  /// - Throws: `FileError` if a folder cannot be read.
  package static func find(in pool: FilePath) throws(FileError) -> (found: [AssetFile], skipped: [FilePath]) {
    var found: [AssetFile] = []
    var skipped: [FilePath] = []
    for scope in Scope.allCases {
      for path in try Files.entries(in: pool.appending("assets_\(scope.rawValue)")) {
        let name = Files.name(of: path)
        if name.hasPrefix(".") { continue }
        guard let status = Files.status(of: path, followsLinks: false) else { continue }
        if status.kind == .file {
          found.append(AssetFile(scope: scope, name: name, path: path, status: status))
        } else {
          skipped.append(path)
        }
      }
    }
    return (found, skipped)
  }

  /// Lets other users read the file, as a web UI on this host has to.
  /// - Throws: `FileError`.
  func publish() throws(FileError) {
    guard path.withPlatformString({ chmod($0, 0o644) }) == 0 else {
      throw FileError("chmod", path, Errno(rawValue: errno))
    }
  }

  /// The bytes from `start` on.
  /// - Throws: `FileError`; ``UploadError`` if the file is not what it was when it was found.
  func read(from start: Int64, count: Int) throws -> [UInt8] {
    let descriptor: FileDescriptor
    do {
      descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking, .noFollow])
    } catch let error as Errno {
      throw FileError("open", path, error)
    }
    defer { try? descriptor.close() }
    var failure: Errno?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
      while used < count {
        let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[used...])
        do {
          let more = try descriptor.read(fromAbsoluteOffset: start + Int64(used), into: rest)
          if more == 0 { return }
          used += more
        } catch {
          failure = error as? Errno ?? .ioError
          return
        }
      }
    }
    if let failure { throw FileError("read", path, failure) }
    // Looked at after the bytes were read: had the file changed before, it would show.
    guard bytes.count == count, Files.status(of: path, followsLinks: false) == status else {
      throw UploadError(.asset, "Error uploading \(name): it changed while it was uploaded")
    }
    return bytes
  }

  /// The SHA-256 sum of a file, taken piece by piece, so that neither the lane is taken for long nor the memory.
  final class RunningDigest: Sendable {
    /// The hasher cannot be copied, and therefore not be guarded itself.
    private final class Box {
      var hasher: Digest.Hasher? = Digest.Hasher(.sha256)
    }

    private let box = Guarded(Box())

    /// Appends `bytes`.
    func update(_ bytes: [UInt8]) { box.withLock { $0.hasher?.update(bytes) } }

    /// The raw sum; to be asked for once.
    func finish() -> [UInt8] { box.withLock { $0.hasher.take()?.finish() ?? [] } }
  }
}
