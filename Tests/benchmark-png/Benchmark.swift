import CPNGReference
import Glibc
import PNGOptimizer
import Support
import SystemPackage

/// What `scripts/benchmark-png` asks, a line at a time with items divided by tabs, is answered with a line each:
///
///     capture FROM TO              writes the image as isotovideo captures it
///     optimize LEVEL FILE          the file's size then, and the processor time that it took, in nanoseconds
///     workers THREADS LEVEL FILE…  how long so many threads took for all, in nanoseconds
///     same FILE FILE               whether the pixels are the same: yes or no
@main
enum Benchmark {
  static func main() async throws {
    ProcessMemory.mapLargeBlocks()
    let optimizer = ImageOptimizer()
    while let line = readLine() {
      let items = line.split(separator: "\t").map(String.init)
      _ = try FileDescriptor.standardOutput.writeAll("\(try await answer(items, with: optimizer))\n".utf8)
    }
  }

  private static func answer(_ items: [String], with optimizer: ImageOptimizer) async throws -> String {
    switch items.first {
    case "capture" where items.count == 3:
      try Files.replace(FilePath(items[2]), with: captured(content(of: items[1])))
      return "captured"
    case "optimize" where items.count == 3:
      let level = try level(items[1]), file = FilePath(items[2])
      let start = nanoseconds(CLOCK_THREAD_CPUTIME_ID)
      let result = try optimizer.compress(content(of: items[2]), level: level)
      if case .smaller(let smaller) = result { try Files.replace(file, with: smaller) }
      let end = nanoseconds(CLOCK_THREAD_CPUTIME_ID)
      return "\(Files.status(of: file)?.size ?? 0)\t\(end - start)"
    case "workers" where items.count > 3:
      let level = try level(items[2])
      let workers = try ImageWorkers(threads: Int(items[1]) ?? 1)
      let start = nanoseconds(CLOCK_MONOTONIC)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for file in items.dropFirst(3) {
          group.addTask { _ = try await workers.compress(content(of: file), level: level) }
        }
        try await group.waitForAll()
      }
      return "\(nanoseconds(CLOCK_MONOTONIC) - start)"
    case "same" where items.count == 3:
      return try pixels(of: content(of: items[1])) == pixels(of: content(of: items[2])) ? "yes" : "no"
    default: throw Failure(description: "cannot do: \(items.joined(separator: " "))")
    }
  }

  private static func level(_ name: String) throws -> PNGLevel {
    guard let level = PNGLevel(rawValue: name) else { throw Failure(description: "there is no level '\(name)'") }
    return level
  }

  private static func content(of file: String) throws -> [UInt8] {
    guard let content = try Files.read(FilePath(file)) else { throw Failure(description: "\(file) is not there") }
    return content
  }

  private static func captured(_ png: [UInt8]) throws -> [UInt8] {
    var size = 0
    guard let bytes = reference_capture(png, png.count, &size) else { throw Failure(description: "that is no PNG") }
    defer { free(bytes) }
    return Array(UnsafeBufferPointer(start: bytes, count: size))
  }

  private static func pixels(of png: [UInt8]) throws -> [UInt8] {
    let image = reference_decode(png, png.count)
    guard let pixels = image.pixels else { throw Failure(description: "that is no PNG") }
    defer { free(pixels) }
    return Array(UnsafeBufferPointer(start: pixels, count: Int(image.width) * Int(image.height) * 8))
  }

  private static func nanoseconds(_ clock: clockid_t) -> Int {
    var time = timespec()
    clock_gettime(clock, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }

  private struct Failure: Error, CustomStringConvertible { let description: String }
}
