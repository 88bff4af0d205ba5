import Agent
import OpenQAProtocol
import Support
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

  struct Story: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var steps: [(Event, [Action])]
    var phase: SlotState.Phase
  }

  static let busy: [(Event, [Action])] = [(.grab(job(1), webUI: 0), [.start(job(1), webUI: 0)])]
  static let stories: [Story] = [
    Story(
      testDescription: "a job and the next",
      steps: busy + [
        (.jobEnding, []), (.jobEnded, [.showStatus(now: false)]), (.grab(job(2), webUI: 1), [.start(job(2), webUI: 1)]),
      ], phase: .busy(job: 2, webUI: 1)),
    Story(
      testDescription: "the next job comes while the last is cleaned up",
      steps: busy + [
        (.jobEnding, []), (.grab(job(2), webUI: 0), []), (.grab(job(2), webUI: 0), []),
        (.grab(job(3), webUI: 1), [.reject([3], reason: "already busy with job(s) 2", webUI: 1)]),
        (.jobEnded, [.start(job(2), webUI: 0)]),
      ], phase: .busy(job: 2, webUI: 0)),
    Story(
      testDescription: "a job that came meanwhile cannot be taken after all",
      steps: busy + [
        (.jobEnding, []), (.grab(job(2), webUI: 0), []), (.availability(Obstacle("full")), []),
        (.jobEnded, [.reject([2], reason: "full", webUI: 0)]),
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
        (.command(.cancel, job: 1, webUI: 1), [.warn("Ignoring cancel for job 1 from b: not the current job")]),
        (.command(.cancel, job: 2, webUI: 0), [.warn("Ignoring cancel for job 2 from a: not the current job")]),
        (.command(.obsolete, job: 1, webUI: 0), [.stopJob(.obsoleted)]),
        (.command(.startLiveLog, job: 1, webUI: 0), [.tellJob(.startLiveLog)]),
      ], phase: .busy(job: 1, webUI: 0)),
    Story(
      testDescription: "not available",
      steps: [
        (.availability(Obstacle("no")), [.showStatus(now: true)]), (.availability(Obstacle("no")), []),
        (.grab(job(1), webUI: 0), [.reject([1], reason: "no", webUI: 0)]),
        (.availability(Obstacle("still no")), [.showStatus(now: false)]),
        (.availability(nil), [.showStatus(now: true)]),
      ], phase: .idle),
    Story(testDescription: "stop while idle", steps: [(.stop, [.end]), (.grab(job(1), webUI: 0), [])], phase: .ended),
    Story(
      testDescription: "stop in a job",
      steps: busy + [
        (.stop, [.stopJob(.quit)]),
        (.grab(job(2), webUI: 0), [.warn("Refusing to grab job from a: currently stopping")]),
        (.jobEnding, []), (.stop, []), (.jobEnded, [.end]),
      ], phase: .ended),
    Story(
      testDescription: "finish, then lose patience",
      steps: busy + [(.finish, []), (.stop, [.stopJob(.quit)]), (.kill, [.abandonJob, .end])], phase: .ended),
    Story(
      testDescription: "finish the job, take no more",
      steps: busy + [(.finish, []), (.jobEnding, []), (.jobEnded, [.end])],
      phase: .ended),
    Story(
      testDescription: "no web UI left",
      steps: [(.disabled(webUI: 0), []), (.disabled(webUI: 1), [.end])], phase: .ended),
    Story(
      testDescription: "no web UI left in a job: it is brought to its end",
      steps: busy + [(.disabled(webUI: 0), []), (.disabled(webUI: 1), []), (.jobEnding, []), (.jobEnded, [.end])],
      phase: .ended),
    Story(
      testDescription: "an incompatible web UI",
      steps: [(.incompatible(webUI: 1), [.warn("b needs another version of the worker: stopping"), .end])],
      phase: .ended),
  ]

  @Test("stories", arguments: stories)
  func story(_ story: Story) {
    var state = SlotState(webUIs: ["a", "b"])
    for (index, (event, expected)) in story.steps.enumerated() {
      #expect(state.handle(event) == expected, "step \(index + 1)")
    }
    #expect(state.phase == story.phase)
  }

  /// Whatever happens in whatever order: never two jobs at once, and a stop always leads to the end.
  @Test("random events")
  func random() {
    for _ in 0..<2000 {
      var state = SlotState(webUIs: ["a", "b"])
      var running: Int64?
      var isAskedToEnd = false
      var hasEnded = false
      func take(_ actions: [Action]) {
        for action in actions {
          #expect(!hasEnded)
          switch action {
          case .start(let job, _):
            #expect(running == nil)
            running = job.id
          case .end: hasEnded = true
          case .abandonJob: running = nil
          default: break
          }
        }
      }
      for _ in 0..<Int.random(in: 1...20) {
        let webUI = Int.random(in: 0...1)
        let job = Int64.random(in: 1...4)
        switch Int.random(in: 0...9) {
        case 0...3: take(state.handle(.grab(Self.job(job), webUI: webUI)))
        case 4: take(state.handle(.command(.cancel, job: job, webUI: webUI)))
        case 5 where running != nil: take(state.handle(.jobEnding))
        case 6 where running != nil:
          running = nil
          take(state.handle(.jobEnded))
        case 7: take(state.handle(.availability(Bool.random() ? Obstacle("no") : nil)))
        case 8 where Int.random(in: 0...5) == 0:
          isAskedToEnd = true
          take(state.handle(.finish))
        case 9 where Int.random(in: 0...5) == 0:
          isAskedToEnd = true
          take(state.handle(.stop))
        default: break
        }
      }
      guard isAskedToEnd else { continue }
      if running != nil {
        running = nil
        take(state.handle(.jobEnded))
      }
      #expect(state.phase == .ended && hasEnded)
    }
  }
}
