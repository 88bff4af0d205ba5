package import OpenQAProtocol
import Support

/// Who looks on while a job runs (protocol §10).
package struct Audience: Sendable, Hashable {
  /// Those who see the live view.
  package var viewers = 0
  /// A developer session has been opened. It stays one to the job's end: nobody says when it ends.
  package var hasDeveloper = false

  /// The numbers of viewers that a record is believed.
  package static let possibleViewers: ClosedRange<Int64> = 0...1_000_000

  package init() {}

  /// Takes note of somebody who comes or goes.
  package mutating func note(_ command: JobCommand) {
    switch command {
    case .startLiveLog: viewers = viewers.addingSaturating(1)
    case .stopLiveLog: viewers = max(0, viewers - 1)
    case .startDeveloperSession: hasDeveloper = true
    case .cancel, .obsolete, .abort, .quit: break
    }
  }
}
