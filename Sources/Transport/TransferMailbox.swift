import CCurl
import Support

/// What other threads want a lane's thread to do, in the order they asked.
final class TransferMailbox: Sendable {
  private struct State {
    var commands: [TransferLane.Command] = []
    var isClosed = false
    /// Whether the thread waits for something to happen, or is about to.
    var isResting = false
  }

  let multi: MultiHandle
  private let state = Guarded(State())

  init(_ multi: MultiHandle) { self.multi = multi }

  /// Adds `command`, and wakes the thread if it rests; false if the mailbox is closed, then nothing will come of it.
  func post(_ command: TransferLane.Command) -> Bool {
    let (isOpen, wasResting) = state.withLock { state in
      defer { state.isResting = false }
      if !state.isClosed { state.commands.append(command) }
      return (!state.isClosed, state.isResting)
    }
    if wasResting { multi.wake() }
    return isOpen
  }

  /// Takes everything.
  /// - Parameter closing: accepts nothing more from now on.
  func take(closing: Bool = false) -> [TransferLane.Command] {
    state.withLock { state in
      if closing { state.isClosed = true }
      state.isResting = false
      let commands = state.commands
      state.commands = []
      return commands
    }
  }

  /// Whether the thread may rest, since there is nothing to take. What is posted from then on wakes it.
  func rest() -> Bool {
    state.withLock { state in
      state.isResting = state.commands.isEmpty
      return state.isResting
    }
  }
}

/// Owns the `CURLM`.
final class MultiHandle: @unchecked Sendable {
  // Sendable is proven by libcurl's rules: all calls are made by the lane's thread, but `curl_multi_wakeup`, which may
  // be called from any thread, and the clean-up, when nobody holds the handle any more.
  let pointer: UnsafeMutableRawPointer

  private static let isLibraryReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

  init(_ configuration: HTTPClient.Configuration) throws(TransportError) {
    guard Self.isLibraryReady, let pointer = curl_multi_init() else {
      throw TransportError(.system, "libcurl cannot be initialised")
    }
    self.pointer = pointer
    // How many are open at a time is `TransferQueue`'s to decide; these are the idle ones that are kept.
    _ = ccurl_multi_set_long(pointer, CURLMOPT_MAXCONNECTS, configuration.connectionsPerLane)
  }

  deinit { curl_multi_cleanup(pointer) }

  func wake() { curl_multi_wakeup(pointer) }
}
