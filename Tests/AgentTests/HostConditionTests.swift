import OpenQAProtocol
import Testing

@testable import Agent

@Suite("What keeps a slot from taking jobs")
struct HostConditionTests {
  struct Example: Sendable {
    var obstacle: Obstacle
    var change: @Sendable (inout HostCondition) -> Void
  }

  /// In the order of the protocol.
  static let examples: [Example] = [
    Example(obstacle: Obstacle("no cache", isFatal: true)) { $0.cacheProblem = "no cache" },
    Example(obstacle: Obstacle("A process of an earlier job cannot be ended (7 cat): end it", isFatal: true)) {
      $0.leftover = "7 cat"
    },
    Example(
      obstacle: Obstacle(
        "A QEMU instance using the current pool directory is still running (PID: 42)", isFatal: true)
    ) { $0.qemu = 42 },
    Example(obstacle: Obstacle("Unable to lock pool directory: full", isFatal: true)) { $0.poolProblem = "full" },
    Example(obstacle: Obstacle("Unable to clean pool directory: /pool/1/x: busy", isFatal: true)) {
      $0.faults[.uncleanPool] = "/pool/1/x: busy"
    },
    Example(obstacle: Obstacle("Unable to use pool directory: it is full", isFatal: true)) {
      $0.faults[.unwritablePool] = "it is full"
    },
    Example(obstacle: Obstacle("No share directory for a", isFatal: true)) {
      $0.faults[.noShare(webUI: "a")] = "No share directory for a"
    },
    Example(obstacle: Obstacle("No share directory for b", isFatal: true)) {
      $0.faults[.noShare(webUI: "b")] = "No share directory for b"
    },
    Example(obstacle: Obstacle("Unable to use cache directory: it is full", isFatal: true)) {
      $0.faults[.unwritableCache] = "it is full"
    },
    Example(obstacle: Obstacle("Unable to start jobs: no isotovideo", isFatal: true)) {
      $0.faults[.noIsotovideo] = "no isotovideo"
    },
    Example(obstacle: Obstacle("Unable to start jobs: no perl", isFatal: true)) { $0.faults[.noPerl] = "no perl" },
    Example(obstacle: Obstacle("Unable to start jobs: no supervisor", isFatal: true)) {
      $0.programProblem = "no supervisor"
    },
    Example(obstacle: Obstacle("Unable to determine worker address (WORKER_HOSTNAME)", isFatal: true)) {
      $0.hasAddress = false
    },
    Example(obstacle: Obstacle("D-Bus service 'x.y' is not running", isFatal: true)) { $0.missingService = "x.y" },
    Example(
      obstacle: Obstacle(
        "The average load (41.00 2.50 3) is exceeding the configured threshold of 40. The worker will temporarily "
          + "not accept new jobs until the load is lower again.")
    ) {
      $0.load = LoadAverage("41.00 2.50 3 1/2 3\n")
      $0.criticalLoad = 40
    },
    Example(
      obstacle: Obstacle(
        "Only 0.25 GiB are free in /pool, and POOL_MIN_FREE_GB asks for 1.5: free space there, or set POOL_MIN_FREE_GB "
          + "lower (0 is off)")
    ) { $0.lackOfSpace = .init(path: "/pool", free: 1 << 28, minimum: 3 << 29) },
    Example(obstacle: Obstacle("Limited by configured lock 'start'", isEphemeral: true)) {
      $0.limit = .noPlace("start")
    },
  ]

  @Test("each, and which comes first")
  func order() {
    var all = HostCondition()
    #expect(all.obstacle == nil)
    for example in Self.examples.reversed() {
      var alone = HostCondition()
      example.change(&alone)
      #expect(alone.obstacle == example.obstacle)
      example.change(&all)
      #expect(all.obstacle == example.obstacle)
    }
    var unusable = HostCondition()
    unusable.limit = .unusable("start", "open /x: no")
    #expect(unusable.obstacle == Obstacle("Unable to use the configured lock 'start': open /x: no"))
  }

  @Test(
    "the load: refused while it is above and rises, and while all of it is above",
    arguments: [
      ("1 1 1", false), ("10 10 10", false), ("11 1 1", true), ("10.01 10 10", true), ("9 11 8", true),
      ("9 8 11", true), ("9 11 10", false), ("5 11 12", false), ("1 2 90", false), ("11 12 13", true),
      ("13 12 11", true), ("11 12 10", true), ("0 0 0", false),
    ])
  func load(text: String, isCritical: Bool) {
    #expect(LoadAverage(text)?.isCritical(above: 10) == isCritical)
  }

  @Test(
    "what is no load", arguments: ["", "1 2", "a b c", "1 2 x", "nan 1 1", "1 inf 1", "1,2 1,2 1,2"])
  func noLoad(text: String) { #expect(LoadAverage(text) == nil) }

  @Test("what else a file of loads has does not matter")
  func words() {
    #expect(LoadAverage(" 0.50\t2 3.25 4/500 6\n")?.description == "0.50 2 3.25")
    #expect(LoadAverage("1 2 3 x y z")?.description == "1 2 3")
  }
}
