import Glibc
import PNGOptimizer
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Image workers", .timeLimit(.minutes(2)))
struct ImageWorkersTests {
  private static let image = SampleImage.rgb(64, 48) { x, y in [UInt8(x), UInt8(y), 9] }

  @Test("optimise what comes, and say what is wrong")
  func many() async throws {
    let folder = try TemporaryFolder()
    let png = try Self.image.png
    let files = (0..<40).map { folder.path.appending("\($0).png") }
    for (number, file) in files.enumerated() { try Files.replace(file, with: number % 4 == 3 ? [1, 2, 3] : png) }
    let workers = try ImageWorkers(threads: 2)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for (number, file) in files.enumerated() {
        group.addTask {
          do {
            return try await workers.optimize(file).isSmaller && number % 4 != 3
          } catch let error as PNGError {
            return error == .defective(file, .notPNG) && number % 4 == 3
          }
        }
      }
      for try await isRight in group { #expect(isRight) }
    }
    #expect(workers.backlog == 0)
    #expect(try Files.names(in: folder.path).count == 40)
    for file in files where try Files.read(file) != [1, 2, 3] {
      _ = try pixels(of: #require(try Files.read(file)), like: png)
    }
  }

  @Test("more than can wait are left as they are")
  func busy() async throws {
    let workers = try ImageWorkers(threads: 1, capacity: 0)
    #expect(try await workers.optimize("/nowhere/screen.png") == .kept(.busy))
  }

  @Test(
    "a file system that hangs holds nobody who does not want to wait",
    .enabled(if: Mount.isFUSEAllowed, "this process may not mount, or there is no /dev/fuse"))
  func hanging() async throws {
    let folder = try TemporaryFolder()
    let dead = folder.path.appending("dead")
    try Files.makeDirectory(dead)
    let mount = try Mount(hangingOn: dead)
    let workers = try ImageWorkers(threads: 1)
    // One that is worked on, and one that waits.
    let callers = (0..<2).map { _ in Task { try await workers.optimize(dead.appending("screen.png")) } }
    for caller in callers {
      caller.cancel()
      await #expect(throws: CancellationError.self) { try await caller.value }
    }
    withExtendedLifetime(mount) {}
  }

  @Test("give way to all others")
  func niceness() async throws {
    let workers = try ImageWorkers(threads: 1)
    let folder = try TemporaryFolder()
    let file = folder.path.appending("screen.png")
    try Files.replace(file, with: try Self.image.png)
    // The thread is there once it has done something.
    _ = try await workers.optimize(file, level: .fastest)
    let threads = try Files.entries(in: "/proc/self/task").compactMap { thread -> [Substring]? in
      let line = try? Files.read(thread.appending("stat")).map { String(decoding: $0, as: UTF8.self) }
      guard let line, line.contains("(images-0)") else { return nil }
      return line.split(separator: " ")
    }
    // Fields 19 and 41: nice value and policy, where 3 is SCHED_BATCH.
    #expect(threads.contains { $0[18] == "10" && $0[40] == "3" })
  }

  @Test(
    "the more images wait, the less time each gets",
    arguments: [
      (0, 1, .standard), (9, 1, .standard), (10, 1, .fast), (19, 2, .standard), (20, 2, .fast), (99, 1, .fast),
      (100, 1, .fastest), (399, 4, .fast), (400, 4, .fastest), (5, 0, .standard),
    ] as [(Int, Int, PNGLevel)])
  func levels(waiting: Int, threads: Int, level: PNGLevel) {
    #expect(PNGLevel.forBacklog(waiting, threads: threads) == level)
  }
}

extension ImageOptimizer.Outcome {
  /// Whether there is a smaller file now.
  fileprivate var isSmaller: Bool {
    if case .optimized = self { true } else { false }
  }
}
