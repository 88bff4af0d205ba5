package import OpenQAProtocol

/// Who looks on while a job runs (protocol §10).
package struct Audience: Sendable, Hashable {
  /// Those who see the live view.
  package var viewers = 0
  /// A developer session has been opened. It stays one to the job's end: nobody says when it ends.
  package var hasDeveloper = false

  package init() {}

  /// Takes note of somebody who comes or goes.
  package mutating func note(_ command: JobCommand) {
    switch command {
    case .startLiveLog: viewers += 1
    case .stopLiveLog: viewers = max(0, viewers - 1)
    case .startDeveloperSession: hasDeveloper = true
    case .cancel, .obsolete, .abort, .quit: break
    }
  }
}
