import Glibc
import PNGOptimizer
import Support
import SystemPackage
import Testing

@Suite("Image workers", .timeLimit(.minutes(2)))
struct ImageWorkersTests {
  private static let image = SampleImage.rgb(64, 48) { x, y in [UInt8(x), UInt8(y), 9] }

  @Test("optimise what comes, and say what is wrong")
  func many() async throws {
    let png = try Self.image.png
    let workers = try ImageWorkers(threads: 2)
    try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
      for number in 0..<40 {
        group.addTask {
          do {
            let result = try await workers.compress(number % 4 == 3 ? [1, 2, 3] : png)
            return if case .smaller(let smaller) = result, number % 4 != 3 { smaller } else { [] }
          } catch let defect as PNGDefect {
            return defect == .notPNG && number % 4 == 3 ? nil : []
          }
        }
      }
      for try await case let smaller? in group { _ = try pixels(of: smaller, like: png) }
    }
    #expect(workers.backlog == 0)
  }

  @Test("more than can wait are left as they are")
  func busy() async throws {
    let workers = try ImageWorkers(threads: 1, capacity: 0)
    #expect(try await workers.compress(try Self.image.png) == .kept(.busy))
  }

  @Test("hold nobody who does not want to wait, and forget what waited")
  func cancellation() async throws {
    let workers = try ImageWorkers(threads: 0)
    let png = try Self.image.png
    let callers = (0..<2).map { _ in Task { try await workers.compress(png) } }
    for caller in callers {
      caller.cancel()
      await #expect(throws: CancellationError.self) { try await caller.value }
    }
    #expect(workers.backlog == 0)
  }

  @Test("give way to all others")
  func niceness() async throws {
    let workers = try ImageWorkers(threads: 1)
    // The thread is there once it has done something.
    _ = try await workers.compress(try Self.image.png, level: .fastest)
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
