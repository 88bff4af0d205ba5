import Support
import SystemPackage

/// What web UIs call a job's screenshots: by the MD5 sum of each file as isotovideo wrote it (protocol §6), taken once.
final class ScreenshotNames: Sendable {
  private let folder: FilePath
  /// The largest file that is taken for a screenshot, in bytes.
  private static let maximumSize: Int64 = 256 << 20

  private let sums = Guarded<[String: String]>([:])

  /// - Parameter folder: the pool's folder of results.
  init(folder: FilePath) { self.folder = folder }

  /// The sum of a screenshot. Blocks: to be called on the pool's lane.
  /// - Throws: `FileError`.
  func sum(of name: String) throws(FileError) -> String {
    if let known = known(name) { return known }
    let digest = try Files.digest(.md5, of: folder.appending(name), limit: ScreenshotNames.maximumSize)
    return note(name, digest.hexadecimal)
  }

  /// The sum, if it was taken.
  func known(_ name: String) -> String? { sums.withLock { $0[name] } }

  /// Notes a sum, unless there is one: the first is the screenshot's name for good. Returns the one that counts.
  @discardableResult
  func note(_ name: String, _ sum: String) -> String {
    sums.withLock { sums in
      if let known = sums[name] { return known }
      sums[name] = sum
      return sum
    }
  }
}
