import Agent
import OpenQAProtocol
import Support
import TestSupport
import Testing

@Suite("What a slot decides")
struct SlotStateTests {
  typealias Event = SlotState.Event
  typealias Action = SlotState.Action

  static func job(_ id: Int64) -> JobInfo {
    // The literal is a job, so this cannot fail.
    guard let job = try? JobInfo(["id": .integer(id), "settings": [:]]) else { preconditionFailure("no job") }
    return job
  }

  /// - Parameter rest: nothing, for a job that came alone.
  static func start(_ id: Int64, rest: JobQueue? = nil, webUI: Int = 0) -> Action {
    var nothing = JobQueue(job(id))
    _ = nothing.next()
    return .start(job(id), rest: rest ?? nothing, webUI: webUI)
  }

  /// The jobs of a tree, as numbers in JSON.
  static func sequence(_ tree: String) -> JobSequence {
    let ids = tree.split { !$0.isNumber }.compactMap { Int64($0) }
    let data = Dictionary(uniqueKeysWithValues: ids.map { (String($0), job($0).json) })
    guard let order = try? JSON(parsing: Array(tree.utf8)),
      let sequence = try? JobSequence(["data": .object(data), "sequence": order])
    else { preconditionFailure("no sequence") }
    return sequence
  }

  /// What is left of a sequence after some jobs.
  static func rest(_ tree: String, after count: Int, failed: [Int64] = []) -> JobQueue {
    var queue = JobQueue(sequence(tree))
    for _ in 0..<count { _ = queue.next() }
    for job in failed { queue.note(failed: job) }
    return queue
  }

  /// A slot whose looks end at once. What `looked` says is there from then on, to be found by each.
  @dynamicMemberLookup struct Looking {
    var state: SlotState
    var obstacle: Obstacle?

    init(_ state: SlotState) { self.state = state }

    subscript<Value>(dynamicMember path: KeyPath<SlotState, Value>) -> Value { state[keyPath: path] }

    mutating func handle(_ event: Event) -> [Action] {
      guard case .looked(let found) = event else { return look(state.handle(event)) }
      obstacle = found
      return look(state.handle(.lookDue))
    }

    private mutating func look(_ actions: [Action]) -> [Action] {
      var all: [Action] = []
      for action in actions {
        if case .look = action { all += look(state.handle(.looked(obstacle))) } else { all.append(action) }
      }
      return all
    }
  }

  struct Story: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var endsAfterJobs = false
    var steps: [(Event, [Action])]
    var phase: SlotState.Phase
  }

  static let busy: [(Event, [Action])] = [(.grab(job(1), webUI: 0), [start(1)])]
  static let chained: [(Event, [Action])] = [
    (.grabSequence(sequence("[1,2,3]"), webUI: 0), [start(1, rest: rest("[1,2,3]", after: 1))])
  ]
  static let ended = Event.jobEnded(isSuccess: true)

  static func skip(_ id: Int64, rest: JobQueue, _ reason: String, _ stop: StopReason? = nil) -> Action {
    .skip(job(id), rest: rest, reason: SkipReason(reason, stop), webUI: 0)
  }

  static let stories: [Story] = [
    Story(
      testDescription: "a job and the next",
      steps: busy + [
        (.jobEnding, []), (ended, []),
        (.grab(job(2), webUI: 1), [start(2, webUI: 1)]),
      ], phase: .busy(job: 2, webUI: 1)),
    Story(
      testDescription: "the next job comes while the last is cleaned up",
      steps: busy + [
        (.jobEnding, []), (.grab(job(2), webUI: 0), []), (.grab(job(2), webUI: 0), []),
        (.grab(job(3), webUI: 1), [.reject([3], reason: "already busy with a job from a", webUI: 1)]),
        (.grab(job(3), webUI: 0), [.reject([3], reason: "already busy with job(s) 2", webUI: 0)]),
        (ended, [start(2)]),
      ], phase: .busy(job: 2, webUI: 0)),
    Story(
      testDescription: "a job that came meanwhile cannot be taken after all",
      steps: busy + [
        (.jobEnding, []), (.grab(job(2), webUI: 0), []), (.looked(Obstacle("full")), []),
        (ended, [.reject([2], reason: "full", webUI: 0), .warn("full")]),
      ], phase: .idle),
    Story(
      testDescription: "after the job the slot is broken: web UIs hear of it at once",
      steps: busy + [
        (.jobEnding, []), (.grab(job(2), webUI: 0), []), (.looked(Obstacle("no", isFatal: true)), []),
        (ended, [.reject([2], reason: "no", webUI: 0), .warn("no"), .sendStatus()]),
      ], phase: .idle),
    Story(
      testDescription: "the same grab again, and others",
      steps: busy + [
        (.grab(job(1), webUI: 0), []),
        (.grab(job(2), webUI: 0), [.reject([2], reason: "already busy with job(s) 1", webUI: 0)]),
        (.grab(job(1), webUI: 1), [.reject([1], reason: "already busy with a job from a", webUI: 1)]),
      ], phase: .busy(job: 1, webUI: 0)),
    Story(
      testDescription: "only the web UI that gave a job stops it",
      steps: busy + [
        (.command(.cancel, job: 1, webUI: 1), [.warn("Ignoring cancel for job 1 from b: not a current job")]),
        (.command(.cancel, job: 2, webUI: 0), [.warn("Ignoring cancel for job 2 from a: not a current job")]),
        (.command(.obsolete, job: 1, webUI: 0), [.stopJob(.obsoleted)]),
        (.command(.startLiveLog, job: 1, webUI: 0), [.tellJob(.startLiveLog)]),
      ], phase: .busy(job: 1, webUI: 0)),
    Story(
      testDescription: "not available",
      steps: [
        (.looked(Obstacle("no")), [.warn("no"), .sendStatus()]), (.looked(Obstacle("no")), []),
        (.grab(job(1), webUI: 0), [.reject([1], reason: "no", webUI: 0)]),
        (.looked(Obstacle("still no")), [.warn("still no")]),
        (.looked(nil), [.sendStatus()]),
      ], phase: .idle),
    Story(testDescription: "stop while idle", steps: [(.stop, [.end]), (.grab(job(1), webUI: 0), [])], phase: .ended),
    Story(
      testDescription: "stop in a job",
      steps: busy + [
        (.stop, [.stopJob(.quit)]),
        (.grab(job(2), webUI: 0), [.warn("Refusing to grab job from a: currently stopping")]),
        (.jobEnding, []), (.stop, []), (ended, [.end]),
      ], phase: .ended),
    Story(
      testDescription: "finish, then lose patience",
      steps: busy + [(.finish, []), (.stop, [.stopJob(.quit)]), (.kill, [.abandonJob, .end])], phase: .ended),
    Story(
      testDescription: "finish the job, take no more",
      steps: busy + [(.finish, []), (.jobEnding, []), (ended, [.end])],
      phase: .ended),
    Story(
      testDescription: "finish the job and the one that was given meanwhile",
      steps: busy + [
        (.jobEnding, []), (.grab(job(2), webUI: 0), []), (.finish, []),
        (ended, [start(2)]), (.jobEnding, []), (ended, [.end]),
      ], phase: .ended),
    Story(
      testDescription: "one job, and no more after it", endsAfterJobs: true,
      steps: busy + [
        (.jobEnding, []), (.grab(job(2), webUI: 0), [.warn("Refusing to grab job from a: currently stopping")]),
        (ended, [.end]),
      ], phase: .ended),
    Story(
      testDescription: "no web UI left",
      steps: [(.disabled(webUI: 0), []), (.disabled(webUI: 1), [.end])], phase: .ended),
    Story(
      testDescription: "no web UI left in a job: it is brought to its end",
      steps: busy + [(.disabled(webUI: 0), []), (.disabled(webUI: 1), []), (.jobEnding, []), (ended, [.end])],
      phase: .ended),
    Story(
      testDescription: "a chain, in which the web UI gives none meanwhile",
      steps: chained + [
        (.grab(job(2), webUI: 0), []),
        (.grabSequence(sequence("[2,3]"), webUI: 0), []),
        (.grab(job(9), webUI: 0), [.reject([9], reason: "already busy with job(s) 1, 2, 3", webUI: 0)]),
        (.jobEnding, []), (ended, [start(2, rest: rest("[1,2,3]", after: 2))]),
        (.grab(job(9), webUI: 0), [.reject([9], reason: "already busy with job(s) 2, 3", webUI: 0)]),
        (.jobEnding, []), (ended, [start(3, rest: rest("[1,2,3]", after: 3))]),
        (.jobEnding, []), (.grab(job(9), webUI: 0), []), (ended, [start(9)]),
      ], phase: .busy(job: 9, webUI: 0)),
    Story(
      testDescription: "the first of a chain fails",
      steps: chained + [
        (
          .jobEnded(isSuccess: false),
          [skip(2, rest: rest("[1,2,3]", after: 2, failed: [1]), "its parent, job 1, did not end well")]
        ),
        (
          .jobEnded(isSuccess: false),
          [skip(3, rest: rest("[1,2,3]", after: 3, failed: [1, 2]), "its parent, job 1, did not end well")]
        ),
        (.jobEnding, []), (.jobEnded(isSuccess: false), []),
      ], phase: .idle),
    Story(
      testDescription: "a leaf that fails skips none",
      steps: chained + [
        (ended, [start(2, rest: rest("[1,2,3]", after: 2))]),
        (.jobEnded(isSuccess: false), [start(3, rest: rest("[1,2,3]", after: 3, failed: [2]))]),
      ], phase: .busy(job: 3, webUI: 0)),
    Story(
      testDescription: "stop in a chain",
      steps: chained + [
        (.stop, [.stopJob(.quit)]),
        (
          .jobEnded(isSuccess: false),
          [skip(2, rest: rest("[1,2,3]", after: 2, failed: [1]), "the worker stops", .quit)]
        ),
        (
          .jobEnded(isSuccess: false),
          [skip(3, rest: rest("[1,2,3]", after: 3, failed: [1, 2]), "the worker stops", .quit)]
        ),
        (.jobEnding, []), (.jobEnded(isSuccess: false), [.end]),
      ], phase: .ended),
    Story(
      testDescription: "finish a chain, and stop in its second job",
      steps: chained + [
        (.finish, []), (ended, [start(2, rest: rest("[1,2,3]", after: 2))]), (.stop, [.stopJob(.quit)]),
        (
          .jobEnded(isSuccess: false),
          [skip(3, rest: rest("[1,2,3]", after: 3, failed: [2]), "the worker stops", .quit)]
        ),
        (.jobEnding, []), (.jobEnded(isSuccess: false), [.end]),
      ], phase: .ended),
    Story(
      testDescription: "a chain that cannot go on, and one that can",
      steps: chained + [
        (.looked(Obstacle("busy")), []), (ended, [start(2, rest: rest("[1,2,3]", after: 2))]),
        (.looked(Obstacle("locked", isFatal: true)), []),
        (ended, [skip(3, rest: rest("[1,2,3]", after: 3), "locked")]),
        (.jobEnding, []), (.jobEnded(isSuccess: false), [.warn("locked"), .sendStatus()]),
      ], phase: .idle),
  ]

  @Test("stories", arguments: stories)
  func story(_ story: Story) {
    var state = Looking(SlotState(webUIs: ["a", "b"], endsAfterJobs: story.endsAfterJobs))
    for (index, (event, expected)) in story.steps.enumerated() {
      #expect(state.handle(event) == expected, "step \(index + 1)")
    }
    #expect(state.phase == story.phase)
  }

  /// The same, with the look before.
  static let busyAfterLook: [(Event, [Action])] = [
    (.grab(job(1), webUI: 0), [.look(isTaking: true)]), (.looked(nil), [start(1)]),
  ]
  static let chainedAfterLook: [(Event, [Action])] = [
    (.grabSequence(sequence("[1,2,3]"), webUI: 0), [.look(isTaking: true)]),
    (.looked(nil), [start(1, rest: rest("[1,2,3]", after: 1))]),
  ]
  /// What is left of the chain when job 2 is not wanted any more, and when its turn has come.
  static let withoutSecond: (JobQueue, JobQueue) = {
    var queue = rest("[1,2,3]", after: 1)
    _ = queue.skip(2, for: .cancel)
    let waiting = queue
    _ = queue.next()
    return (waiting, queue)
  }()

  static let looks: [[(Event, [Action])]] = [
    [
      (.lookDue, [.look(isTaking: false)]), (.lookDue, []),
      // That look took no place for a job.
      (.grab(job(1), webUI: 0), []), (.grab(job(2), webUI: 1), []), (.looked(nil), [.look(isTaking: true)]),
      (.looked(nil), [start(1), .reject([2], reason: "already busy with a job from a", webUI: 1)]),
    ],
    [
      (.grab(job(1), webUI: 0), [.look(isTaking: true)]),
      (.looked(Obstacle("no")), [.warn("no"), .sendStatus(), .reject([1], reason: "no", webUI: 0)]),
    ],
    [
      (.grab(job(1), webUI: 0), [.look(isTaking: true)]),
      (.stop, [.warn("Refusing to grab job from a: currently stopping"), .end]), (.looked(nil), []),
    ],
    [(.lookDue, [.look(isTaking: false)]), (.kill, [.end]), (.looked(nil), [])],
    busyAfterLook + [
      (.jobEnding, []), (ended, [.look(isTaking: false)]), (.grab(job(2), webUI: 1), []),
      (.looked(nil), [.look(isTaking: true)]), (.looked(nil), [start(2, webUI: 1)]),
    ],
    busyAfterLook + [(ended, [.look(isTaking: false)]), (.stop, [.end]), (.looked(nil), [])],
    chainedAfterLook + [
      (ended, [.look(isTaking: true)]),
      (.stop, [skip(2, rest: rest("[1,2,3]", after: 2), "the worker stops", .quit)]), (.looked(nil), []),
    ],
    chainedAfterLook + [
      (ended, [.look(isTaking: true)]), (.command(.cancel, job: 2, webUI: 0), [.recordQueue(withoutSecond.0)]),
      (.looked(nil), [skip(2, rest: withoutSecond.1, "the web UI sent cancel", StopReason(command: .cancel))]),
    ],
  ]

  @Test("looks: one at a time, and nothing that happens meanwhile waits for it but jobs", arguments: looks)
  func look(_ steps: [(Event, [Action])]) {
    var state = SlotState(webUIs: ["a", "b"])
    for (index, (event, expected)) in steps.enumerated() {
      #expect(state.handle(event) == expected, "step \(index + 1)")
    }
  }

  @Test("what web UIs see of a slot follows from what it is at")
  func status() throws {
    let prepared = try JobInfo(["id": 1, "settings": ["JOBTOKEN": "abc"]])
    let chain: [(Event, WorkerStatus, pending: [Int64])] = [
      (.looked(nil), .free, []),
      (.grabSequence(Self.sequence("[1,2,3]"), webUI: 1), .working(Self.job(1), webUI: "b"), [2, 3]),
      (.jobChanged(prepared), .working(prepared, webUI: "b"), [2, 3]),
      (.jobChanged(Self.job(7)), .working(prepared, webUI: "b"), [2, 3]),
      (.looked(Obstacle("no")), .working(prepared, webUI: "b"), [2, 3]),
      (Self.ended, .working(Self.job(2), webUI: "b"), [3]),
      (Self.ended, .working(Self.job(3), webUI: "b"), []),
      // Until it is told, the job is not over.
      (.jobEnding, .working(Self.job(3), webUI: "b"), []),
      (.jobReleased(3, webUI: 1), .broken(reason: "no"), []),
      (Self.ended, .broken(reason: "no"), []),
      (.looked(nil), .free, []),
      (.grab(Self.job(4), webUI: 0), .working(Self.job(4), webUI: "a"), []),
      (.jobEnding, .working(Self.job(4), webUI: "a"), []),
      (.jobDropped(webUI: 0), .free, []),
      // Its turn comes when the pool is clean.
      (.grab(Self.job(5), webUI: 1), .free, []),
      (Self.ended, .working(Self.job(5), webUI: "b"), []),
    ]
    var state = Looking(SlotState(webUIs: ["a", "b"]))
    for (index, (event, expected, pending)) in chain.enumerated() {
      _ = state.handle(event)
      #expect(state.status == expected, "step \(index + 1)")
      #expect(state.state.pending(for: 1) == pending && state.state.pending(for: 0) == [], "step \(index + 1)")
    }
    let left = SlotState(webUIs: ["a", "b"], current: (Self.job(9), JobQueue(Self.job(10)), 1))
    #expect(left.status == .working(Self.job(9), webUI: "b") && left.pending(for: 1) == [10])
  }

  @Test("a job that waits is stopped: it is skipped when its turn comes")
  func unwanted() {
    var state = Looking(SlotState(webUIs: ["a", "b"]))
    _ = state.handle(.grabSequence(Self.sequence("[1,[2,3],4]"), webUI: 0))
    guard case .recordQueue(let queue)? = state.handle(.command(.cancel, job: 2, webUI: 0)).first else {
      Issue.record("not on record")
      return
    }
    #expect(queue == state.queue && queue.ids == [2, 3, 4])
    #expect(state.handle(.command(.cancel, job: 2, webUI: 1)).count == 1, "not from there")
    var told: [String] = []
    for (success, _) in [(true, 1), (false, 2), (false, 3), (true, 4)] {
      for action in state.handle(.jobEnded(isSuccess: success)) {
        switch action {
        case .skip(let job, _, let reason, _):
          told.append("\(job.id): \(reason.text)\(reason.stop.map { ", \($0.name)" } ?? "")")
        case .start(let job, _, _): told.append("\(job.id)")
        default: break
        }
      }
    }
    #expect(told == ["2: the web UI sent cancel, cancel", "3: its parent, job 2, did not end well", "4"])
    #expect(state.phase == .idle)
  }

  @Test(
    "whose turn it is, and whose parent is who",
    arguments: [
      ("[0]", "0"), ("[0,1,2]", "0, 1<0, 2<0"), ("[0,[1,[2,3],[4,5]],6]", "0, 1<0, 2<1, 3<2, 4<1, 5<4, 6<0"),
      ("[1,[2,[3,[4,5]]]]", "1, 2<1, 3<2, 4<3, 5<4"), ("[[1,2],[3,4]]", "1, 2<1, 3, 4<3"),
    ])
  func tree(text: String, expected: String) {
    // Jobs have numbers from 1 on.
    let shifted = text.replacing(#/\d+/#) { "\((Int($0.output) ?? 0) + 10)" }
    let queue = JobQueue(Self.sequence(shifted))
    let found = queue.entries.map { entry in
      "\(entry.job.id - 10)\(entry.parent.map { "<\($0 - 10)" } ?? "")"
    }
    #expect(found.joined(separator: ", ") == expected)
  }

  /// Whatever happens in whatever order: never two jobs at once, none twice, each given job is run, skipped or rejected,
  /// and a stop always leads to the end.
  @Test("random events")
  func random() {
    for seed: UInt64 in 0..<3000 {
      var random = SeededGenerator(seed)
      var history: [String] = []
      var story: Comment { "seed \(seed): \(history.joined(separator: ", "))" }
      var state = Looking(SlotState(webUIs: ["a", "b"]))
      var running: Int64?
      var isDropped = false
      var isAskedToEnd = false
      var hasEnded = false
      var next: Int64 = 1
      var open: Set<Int64> = []
      var given: Set<Int64> = []
      func take(_ actions: [Action]) {
        for action in actions {
          #expect(!hasEnded, story)
          switch action {
          case .start(let job, _, _), .skip(let job, _, _, _):
            #expect(running == nil, story)
            #expect(open.remove(job.id) != nil, story)
            running = job.id
          case .reject(let jobs, _, _): open.subtract(jobs)
          // The web UI hears that the slot goes offline.
          case .warn(let text) where text.contains("currently stopping"): open.subtract(given)
          case .end: hasEnded = true
          case .abandonJob: running = nil
          default: break
          }
        }
        // A job that is over may still be cleaned up after.
        if let running, !isDropped, !hasEnded { #expect(state.status.job?.id == running, story) }
        if running == nil { #expect(state.status.job == nil, story) }
      }
      func hear(_ event: Event) {
        history.append("\(event)")
        take(state.handle(event))
      }
      func endJob() {
        (running, isDropped) = (nil, false)
        hear(.jobEnded(isSuccess: Bool.random(using: &random)))
      }
      for _ in 0..<Int.random(in: 1...25, using: &random) {
        let webUI = Int.random(in: 0...1, using: &random)
        switch Int.random(in: 0...9, using: &random) {
        case 0...1:
          given = [next]
          open.formUnion(given)
          hear(.grab(Self.job(next), webUI: webUI))
          next += 1
        case 2...3:
          given = Set(next...(next + 3))
          open.formUnion(given)
          let tree = "[\(next),[\(next + 1),\(next + 2)],\(next + 3)]"
          hear(.grabSequence(Self.sequence(tree), webUI: webUI))
          next += 4
        case 4: hear(.command(.cancel, job: Int64.random(in: 1...next, using: &random), webUI: webUI))
        case 5 where running != nil && Bool.random(using: &random): hear(.jobEnding)
        case 5 where running != nil:
          isDropped = true
          hear(.jobDropped(webUI: webUI))
        case 6 where running != nil: endJob()
        case 7: hear(.looked(Bool.random(using: &random) ? Obstacle("no", isFatal: Bool.random(using: &random)) : nil))
        case 8 where Int.random(in: 0...5, using: &random) == 0:
          isAskedToEnd = true
          hear(.finish)
        case 9 where Int.random(in: 0...5, using: &random) == 0:
          isAskedToEnd = true
          hear(.stop)
        default: break
        }
      }
      while running != nil { endJob() }
      #expect(state.phase == (hasEnded ? .ended : .idle), story)
      #expect(hasEnded == isAskedToEnd, story)
      if !hasEnded { #expect(open.isEmpty, story) }
    }
  }
}
