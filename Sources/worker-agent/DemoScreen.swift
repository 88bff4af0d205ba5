import FoundationEssentials
import LocalWebUI
import Support
import SystemPackage

/// What the demo shows in the terminal: a line for each thing that happens, and a table at the end.
final class DemoScreen: Sendable {
  private struct State {
    var job: LocalJob.State?
    var modules: [String: String] = [:]
  }

  private let state = Guarded(State())
  private let start = ContinuousClock.now

  /// Prints a line.
  func say(_ text: String) { Terminal.show("\(text)\n") }

  /// Prints what an event tells that is new.
  func show(_ event: LocalServer.Event) {
    switch event {
    case .connected(let worker): tell("the slot has registered as worker \(worker)")
    case .changed(let job):
      let lines = state.withLock { state in
        var lines: [String] = []
        if state.job != job.state { lines.append("job \(job.id) (\(job.name)): \(job.state.rawValue)") }
        state.job = job.state
        for module in job.modules where state.modules[module.name] != module.result && module.result != "none" {
          state.modules[module.name] = module.result
          lines.append("  module \(module.name): \(module.result)")
        }
        return lines
      }
      for line in lines { tell(line) }
    case .disconnected, .message, .arrived, .live, .progress: break
    }
  }

  /// Prints how it ended and what there is to look at.
  func summarize(_ job: LocalJob?, in folder: FilePath) {
    guard let job, job.state == .done else { return say("The worker ended before the job did.") }
    say("")
    row("module", "result", "steps", "screenshots")
    for module in job.modules {
      let steps = module.content["details"]?.array ?? []
      let shots = steps.filter { $0["screenshot"]?.object != nil }
      row(module.name, module.result, String(steps.count), String(shots.count))
    }
    let logs = job.files.filter { !$0.hasSuffix(".png") }
    say("")
    say("\(job.result ?? "no result")\(job.reason.map { ": \($0)" } ?? "")")
    say("\(job.namedImages.count) images, \(logs.count) texts and logs in \(folder)")
    if job.result == "incomplete" { showEnd(of: folder.appending("autoinst-log.txt")) }
  }

  /// Prints the last lines of a log, where it is said what went wrong.
  private func showEnd(of log: FilePath) {
    guard let content = try? Files.read(log) else { return say("There is no \(log).") }
    say("\nThe end of \(log):")
    for line in String(decoding: content, as: UTF8.self).split(separator: "\n").suffix(20) { say("  \(line)") }
  }

  private func tell(_ text: String) {
    let seconds = (start.duration(to: .now) / .milliseconds(100)).rounded() / 10
    say("\(pad("\(seconds) s", 8)) \(text)")
  }

  private func row(_ cells: String...) { say(cells.map { pad($0, 12) }.joined().trimmed) }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
