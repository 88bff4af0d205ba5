import Configuration
import Support

/// Lines on their way to a place that can be slow or stuck: whoever adds one never waits, and what waits is bounded.
///
/// When the place does not keep up, the oldest lines give way, and their number is written in their stead.
final class LogQueue: Sendable {
  private struct State {
    var lines: ArraySlice<String> = []
    var size = 0
    var dropped = 0
    var isDraining = false
  }

  private let lane: IOLane
  private let limit: Int
  private let format: LogFormat
  private let sink: @Sendable (String) -> Void
  private let state = Guarded(State())

  /// - Parameters:
  ///   - lane: where `sink` is called.
  ///   - limit: the most bytes that wait.
  ///   - format: that of the line that tells of dropped lines.
  ///   - sink: takes a line with its newline; may block.
  init(lane: IOLane, limit: Int, format: LogFormat, sink: @escaping @Sendable (String) -> Void) {
    self.lane = lane
    self.limit = limit
    self.format = format
    self.sink = sink
  }

  /// Adds a line, which is written after those before it and before what the lane is given later.
  func add(_ line: String) {
    let isFirst = state.withLock { state in
      state.lines.append(line)
      state.size += line.utf8.count
      while state.size > limit, state.lines.count > 1, let oldest = state.lines.popFirst() {
        state.size -= oldest.utf8.count
        state.dropped += 1
      }
      defer { state.isDraining = true }
      return !state.isDraining
    }
    // All that is added meanwhile is written by the same call, so the lane itself never holds more than one.
    if isFirst { lane.submit { self.drain() } }
  }

  private func drain() {
    while let next = next() { sink(next) }
  }

  private func next() -> String? {
    let (dropped, line) = state.withLock { state -> (Int, String?) in
      if state.dropped > 0 {
        defer { state.dropped = 0 }
        return (state.dropped, nil)
      }
      guard let line = state.lines.popFirst() else {
        state.isDraining = false
        return (0, nil)
      }
      state.size -= line.utf8.count
      return (0, line)
    }
    return dropped > 0 ? format.text(of: LogRecord(.warn, "\(dropped) lines dropped")) : line
  }
}
