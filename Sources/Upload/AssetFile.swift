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
}
