/// What has to come of each cell: a table, and the whole of what the matrix knows about the agent.
extension FaultCell {
  /// How a job may end for its web UI.
  enum Outcome: Sendable, Hashable {
    /// `passed`, and everything has arrived.
    case passed
    /// `user_cancelled`, without a reason.
    case cancelled
    /// Incomplete: `quit: …`.
    case stopped
    /// Incomplete: `api failure: …`, with this in it.
    case apiFailure(String)
    /// Whatever the results amount to that have arrived: `api failure: Unable to upload images: …`, with this in it.
    case resultsMissing(String)
    /// The web UI never hears of the end; it learns from the next registration that the job is over.
    case abandoned
  }

  /// What the failed call looks like to the agent.
  private enum Effect {
    /// As if nothing had happened.
    case none
    /// The next try may do better.
    case temporary(String)
    case final(String)
  }

  private var effect: Effect {
    switch fault {
    case .duplicate: .none
    case .wrongJSON: call.checksAnswer ? .temporary("200 response: not the web UI's answer") : .none
    case .halfJSON, .html: call.expectsJSON ? .temporary("200 response: not JSON") : .none
    case .refused, .reset, .silence: .temporary("Connection error: ")
    case .status404: .final("404 response: not there")
    case .status500, .status503, .status408, .status429, .status490:
      .temporary("\(fault.rawValue) response: not there")
    }
  }

  /// What went wrong with the call for good; nil if it was done in the end.
  private var failure: String? {
    switch (effect, times) {
    case (.none, _), (.temporary, .once): nil
    case (.temporary(let text), .forever), (.final(let text), _): text
    }
  }

  /// How the job ends that the fault happens to.
  var outcome: Outcome {
    let undisturbed: Outcome =
      switch phase {
      case .start, .setup, .running, .done: .passed
      case .cancelled: .cancelled
      case .stopped: .stopped
      }
    switch call {
    case .statusResults: return failure.map { .apiFailure($0) } ?? undisturbed
    case .log: return failure.map { .apiFailure($0) } ?? undisturbed
    case .assetChunk:
      // Each chunk has tries of its own, after whatever answer, and wants one that says "ok".
      let words = fault == .wrongJSON ? "unexpected answer" : failure ?? ""
      // Of an asset that is put together already the web UI says so.
      return times == .once || fault == .duplicate ? undisturbed : .apiFailure(words)
    case .uploadState: return .apiFailure("Error uploading")
    case .duplicate: return failure.map { .apiFailure($0) } ?? undisturbed
    case .statusFinal, .image, .text:
      // While the backend runs, what fails is tried again later.
      guard failure != nil, phase == .done else { return undisturbed }
      return .resultsMissing(call == .statusFinal ? "posting status failed" : "Error uploading ")
    case .setDone:
      // An answer that is cut off is one that the web UI has given.
      return failure == nil || fault == .reset ? undisturbed : .abandoned
    case .command: return isHeard ? .cancelled : undisturbed
    case .locate, .register, .statusSetup, .statusUploading, .upgrade, .workerStatus, .grab, .accepted, .connection:
      return undisturbed
    }
  }

  /// Whether a command reaches its job in time. One that got lost once is given again.
  private var isHeard: Bool { phase != .done && (times == .once || fault == .duplicate) }

  /// Whether the web UI refuses this worker for good.
  var isRefusal: Bool { call == .register && fault == .status404 }
}
