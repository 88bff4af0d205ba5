import Support

/// Messages that wait for their consumer, bounded in number and bytes.
final class WebSocketInbox: Sendable {
  private struct State {
    var messages: [String] = []
    /// Index of the first message not taken yet.
    var first = 0
    var bytes = 0
    var isFinished = false
    var waiter: Latch<String?>?

    mutating func takeFirst() -> String? {
      guard first < messages.count else { return nil }
      let message = messages[first]
      messages[first] = ""
      first += 1
      bytes -= message.utf8.count
      if first == messages.count {
        messages.removeAll(keepingCapacity: true)
        first = 0
      }
      return message
    }
  }

  private let countLimit: Int
  private let byteLimit: Int
  private let state = Guarded(State())

  init(countLimit: Int, byteLimit: Int) {
    self.countLimit = countLimit
    self.byteLimit = byteLimit
  }

  /// Adds a message; false if there is no room for it.
  func add(_ message: String) -> Bool {
    let size = message.utf8.count
    while true {
      enum Outcome {
        case kept, full
        case hand(Latch<String?>)
      }
      let outcome: Outcome = state.withLock { state in
        if let waiter = state.waiter {
          state.waiter = nil
          return .hand(waiter)
        }
        guard state.messages.count - state.first < countLimit, state.bytes + size <= byteLimit else { return .full }
        state.messages.append(message)
        state.bytes += size
        return .kept
      }
      switch outcome {
      case .kept: return true
      case .full: return false
      // A waiter that was cancelled meanwhile does not take it.
      case .hand(let waiter): if waiter.open(with: message) { return true }
      }
    }
  }

  /// Lets the consumer take what is there, and then the end.
  func finish() {
    let waiter = state.withLock { state in
      state.isFinished = true
      let waiter = state.waiter
      state.waiter = nil
      return waiter
    }
    waiter?.open(with: nil)
  }

  /// The next message; `nil` at the end or when the task is cancelled.
  func next() async -> String? {
    let latch = Latch<String?>()
    let other: Latch<String?>? = state.withLock { state in
      if let message = state.takeFirst() {
        latch.open(with: message)
      } else if state.isFinished {
        latch.open(with: nil)
      } else {
        let other = state.waiter
        state.waiter = latch
        return other
      }
      return nil
    }
    other?.open(with: nil)
    do {
      return try await latch.wait()
    } catch {
      // Cancelled. A message that came at the same time is not lost.
      latch.open(with: nil)
      return latch.value ?? nil
    }
  }
}
