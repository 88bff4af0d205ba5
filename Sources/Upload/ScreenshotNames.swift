import Support
import SystemPackage

/// What web UIs call a job's screenshots: by the MD5 sum of each file as isotovideo wrote it (protocol §6), taken once.
final class ScreenshotNames: Sendable {
  private let folder: FilePath
  private let sums = Guarded<[String: String]>([:])

  /// - Parameter folder: the pool's folder of results.
  init(folder: FilePath) { self.folder = folder }

  /// The sum of a screenshot. Blocks: to be called on the pool's lane.
  /// - Throws: `FileError`.
  func sum(of name: String) throws(FileError) -> String {
    if let known = known(name) { return known }
    return note(name, try Files.digest(.md5, of: folder.appending(name)).hexadecimal)
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
