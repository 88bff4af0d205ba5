import Support
import TestSupport
import Testing

@Suite("The clock for limits", .timeLimit(.minutes(1)))
struct DeadlineClockTests {
  private let clock = DeadlineClock()

  @Test("sleeps end in the order of their deadlines, and not before them")
  func order() async throws {
    let started = ContinuousClock.now
    let ended = Guarded<[Int]>([])
    await withDiscardingTaskGroup { group in
      for milliseconds in [90, 10, 50] {
        group.addTask {
          try? await clock.sleep(for: .milliseconds(milliseconds))
          #expect(started.duration(to: .now) >= .milliseconds(milliseconds))
          ended.withLock { $0.append(milliseconds) }
        }
      }
    }
    #expect(ended.withLock { $0 } == [10, 50, 90])
  }

  @Test("a sleep until an instant that has passed ends at once", arguments: [Duration.zero, .seconds(-1)])
  func past(_ duration: Duration) async throws { try await clock.sleep(for: duration) }

  @Test("a sleep ends at once when its task is cancelled, before it or meanwhile", arguments: [true, false])
  func cancellation(isBefore: Bool) async {
    await withTaskGroup(of: Bool.self) { group in
      if isBefore { group.cancelAll() }
      group.addTask {
        do { try await clock.sleep(for: .seconds(3600)) } catch { return error is CancellationError }
        return false
      }
      group.cancelAll()
      #expect(await group.next() == true)
    }
  }

  // In a process of its own, where little else allocates.
  @Test("cancelled sleeps leave nothing behind", .disabled(if: isSanitized, "it has a malloc of its own"))
  func memory() async {
    await #expect(processExitsWith: .success) {
      let before = ProcessMemory.bytesInUse
      for _ in 0..<10_000 {
        await withTaskGroup(of: Void.self) { group in
          group.addTask { try? await DeadlineClock().sleep(for: .seconds(3600)) }
          await Task.yield()
          group.cancelAll()
        }
      }
      // Those of Task are 580 bytes each. Each thread of Swift's pool keeps up to 80 KB to itself.
      #expect(ProcessMemory.bytesInUse - before < 3_000_000)
    }
  }
}
