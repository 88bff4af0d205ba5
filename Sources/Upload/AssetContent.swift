import Glibc
import Support
import SystemPackage

/// What is in an asset, as long as it is the file that was found. All its methods block: they belong on a lane.
final class AssetContent: Sendable {
  /// A part of a file that is all data or all hole.
  private struct Extent {
    var range: Range<Int64> = 0..<0
    var isHole = false
  }

  /// SEEK_DATA and SEEK_HOLE, which Glibc shows to C alone.
  private static let (data, hole): (Int32, Int32) = (3, 4)

  /// The file is another one, or has changed.
  struct Changed: Error, CustomStringConvertible {
    let description = "it changed while it was uploaded"
  }

  let asset: AssetFile
  private let descriptor: FileDescriptor
  /// Where the last byte was read.
  private let extent = Guarded(Extent())

  /// Opens the file.
  /// - Throws: `FileError`; ``Changed`` if it is not what it was when it was found.
  init(_ asset: AssetFile) throws {
    self.asset = asset
    do {
      descriptor = try FileDescriptor.open(asset.path, .readOnly, options: [.closeOnExec, .nonBlocking, .noFollow])
    } catch let error as Errno {
      throw FileError("open", asset.path, error)
    }
    try check()
  }

  deinit { try? descriptor.close() }

  /// Fills `buffer` with the bytes from `start` on. Holes are not read from the disk, nor do they fill its cache.
  /// - Throws: `FileError`; ``Changed`` if the file has become shorter.
  func read(from start: Int64, into buffer: UnsafeMutableRawBufferPointer) throws {
    var used = 0
    while used < buffer.count {
      let place = start + Int64(used)
      let extent = extent(at: place)
      let count = min(buffer.count - used, Int(extent.range.upperBound - place))
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[used..<used + count])
      if extent.isHole {
        rest.initializeMemory(as: UInt8.self, repeating: 0)
        used += count
      } else {
        let more: Int
        do { more = try descriptor.read(fromAbsoluteOffset: place, into: rest) } catch let error as Errno {
          throw FileError("read", asset.path, error)
        }
        guard more > 0 else { throw Changed() }
        used += more
      }
    }
  }

  /// To be called after bytes were read: had the file changed before, it would show.
  /// - Throws: ``Changed`` if the file is not what it was when it was found.
  func check() throws(Changed) {
    guard Files.status(of: asset.path, followsLinks: false) == asset.status else { throw Changed() }
  }

  /// The part of the file that `place` is in. Where a file system knows of no holes, all is data.
  private func extent(at place: Int64) -> Extent {
    let known = extent.withLock { $0 }
    if known.range.contains(place) { return known }
    let data = lseek(descriptor.rawValue, off_t(place), AssetContent.data)
    let isHole = data > place || data < 0 && errno == ENXIO
    let end = isHole ? data : lseek(descriptor.rawValue, off_t(place), AssetContent.hole)
    let found = Extent(range: place..<(end > place ? Int64(end) : max(asset.size, place + 1)), isHole: isHole)
    extent.withLock { $0 = found }
    return found
  }
}
