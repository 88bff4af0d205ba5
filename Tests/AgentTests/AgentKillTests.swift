import Foundation
import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

/// Kills the program at each moment of a job's life and starts it again, or tells it to hand over. `AGENT_KILLS` says how
/// many jobs that is.
@Suite("An agent that is killed", .timeLimit(.minutes(15)))
struct AgentKillTests {
  /// After what a slot is killed.
  enum Moment: String, CaseIterable, Sendable {
    case given, accepted, running, image, uploading, log, done

    func hasCome(_ event: LocalServer.Event, of job: Int64) -> Bool {
      switch (self, event) {
      case (.given, .changed(let known)): known.id == job && known.state == .assigned
      case (.accepted, .message(let message, _)): message["type"] == "accepted"
      case (.running, .changed(let known)): known.id == job && known.state == .running
      case (.image, .arrived(job, let file)): file.hasSuffix(".png")
      case (.uploading, .changed(let known)): known.id == job && known.state == .uploading
      case (.log, .arrived(job, let file)): file.hasSuffix(".txt")
      case (.done, .changed(let known)): known.id == job && known.state == .done
      default: false
      }
    }
  }

  private static let rounds = ((Int(ProcessInfo.processInfo.environment["AGENT_KILLS"] ?? "") ?? 14) + 13) / 14

  /// About a second with results in each module.
  private static let scenario: String = {
    let modules = (1...8).map { number in
      """
      {"name":"module\(number)","steps":[{"screenshot":{"noise":20000}},{"text":"text \(number)"},{"wait":20},
      {"screenshot":{"match":"needle"}},{"log":"module \(number) is done"},{"wait":20}]}
      """
    }
    return #"{"modules":[\#(modules.joined(separator: ","))]}"#
  }()

  @Test(
    "jobs go on, wherever it was",
    arguments: isSanitized ? [.accepted, .image, .log] : Moment.allCases, [SIGKILL, SIGUSR2])
  func interrupt(at moment: Moment, by signal: Int32) async throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(seed)
    let bench = try await Workbench()
    let log = bench.folder.path.appending("agent.log")
    var agent = try AgentProcess(bench, log: log)
    defer { agent.send(SIGKILL) }
    var events = bench.web.events.makeAsyncIterator()
    for round in 1...AgentKillTests.rounds {
      let job = try await bench.schedule(AgentKillTests.scenario)
      var arrivals: [String] = []
      while let event = await events.next(), !moment.hasCome(event, of: job) {
        if case .arrived(job, let file) = event { arrivals.append(file) }
      }
      // The fault's own moment within the moment.
      try await Task.sleep(for: .milliseconds(Int.random(in: 0...60, using: &random)))
      agent.send(signal)
      if signal == SIGKILL {
        #expect(try await agent.exit() == SIGKILL)
        // Long enough, sometimes, for the backend to end alone.
        if round.isMultiple(of: 4) {
          try await Task.sleep(for: .milliseconds(Int.random(in: 0...1500, using: &random)))
        }
        agent = try AgentProcess(bench, log: log)
      }
      let end = try await bench.end(of: job)
      let story = "seed \(seed), \(moment) \(signal) \(round):\n\(try text(log))"
      #expect(end.result == "passed" && end.reason == nil, "\(story)")
      #expect(end.modules.count == 8 && end.modules.allSatisfy { $0.result == "passed" }, "\(story)")
      #expect(end.namedImages.count == 16 && end.namedFiles.count == 8)
      #expect(end.files.isSuperset(of: end.namedImages.values) && end.files.isSuperset(of: end.namedFiles))
      for file in ["autoinst-log.txt", "worker-log.txt", "vars.json", "serial0.txt"] {
        #expect(end.files.contains(file), "\(file), \(story)")
      }
      let output = try #require(try bench.arrived(job, "autoinst-log.txt"))
      #expect(output.components(separatedBy: "module 8 is done").count == 2, "the backend ran once")
      // The end of this job stands in the events, too; after it, the program that comes to what is done already.
      while let event = await events.next() {
        if case .arrived(job, let file) = event { arrivals.append(file) }
        if moment == .done, case .connected = event { break }
        if moment != .done, Moment.done.hasCome(event, of: job) { break }
      }
      let images = arrivals.filter { $0.hasSuffix(".png") && !$0.hasPrefix(".") }
      #expect(Set(images).count == images.count, "no image is sent twice, \(story)")
    }
    agent.send(SIGTERM)
    #expect(try await agent.exit() == 0)
    #expect(try Files.names(in: bench.pool) == [".locked", ".supervisor"])
    await bench.web.stop()
  }

  private func text(_ path: FilePath) throws -> String {
    String(decoding: try Files.read(path) ?? [], as: UTF8.self)
  }
}
