package import Logging
package import OpenQAProtocol
package import Support
import Transport
package import WebUIClient

/// Tells those who develop a test while it runs how far its results are at the web UI (protocol §10).
package struct DeveloperSession: Sendable {
  private let job: Int64
  private let client: WebUIClient
  private let portDelta: Int
  private let logger: Logger

  /// - Parameter portDelta: from the web UI's port to its live handler's.
  package init(job: Int64, client: WebUIClient, portDelta: Int, logger: Logger) {
    self.job = job
    self.client = client
    self.portDelta = portDelta
    self.logger = logger
  }

  /// Tells each change, of several at once the last, from when there is a developer until the task is cancelled.
  package func run(_ audience: Observed<Audience>, _ progress: Observed<UploadProgress>) async {
    var told: UploadProgress?
    // A proxy may have all on one port; a web UI of old does not say so.
    var deltas = portDelta == 0 ? [0] : [portDelta, 0]
    do {
      try await audience.wait { $0.hasDeveloper }
      while true {
        let next = try await progress.wait { $0 != told }
        told = next
        var failure: WebUIError?
        for delta in deltas {
          do {
            try await tell(next, delta)
            deltas = [delta]
            failure = nil
            break
          } catch let error as WebUIError {
            failure = failure ?? error
          }
        }
        if let failure { logger.warning("Developers of job \(job) are not told of uploads: \(failure)") }
      }
    } catch {
      // Cancelled.
    }
  }

  private func tell(_ progress: UploadProgress, _ delta: Int) async throws {
    var call = WebUIClient.Call(.post, "/liveviewhandler/api/v1/jobs/\(job)/upload_progress")
    call.body = .bytes(progress.json.bytes, contentType: "application/json")
    call.portDelta = delta
    call.tries = 1
    call.limits.total = .seconds(30)
    try await client.send(call)
  }
}
