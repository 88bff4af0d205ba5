import Support
package import Transport

/// The places for uploads to one web UI, which all slots of the host share, first come, first served.
package final class UploadBudget: ConcurrencyLimit {
  /// Uploads at a time, however well the web UI does.
  let maximum: Int
  private let window: Guarded<UploadWindow>

  /// - Parameter maximum: at least 1.
  package init(_ maximum: Int) {
    let window = UploadWindow(maximum: maximum)
    self.maximum = window.maximum
    self.window = Guarded(window)
  }

  /// Uploads at a time now.
  package var limit: Int { window.withLock { $0.limit } }

  package func enter() -> Int? { window.withLock { $0.enter() } }

  package func leave(_ place: Int, after result: Result<HTTPResponse, any Error>) {
    let isCongested: Bool? =
      switch result {
      case .success(let response): WebUIError(.status(response.status), "").isBusy
      case .failure(let error): (error as? TransportError).map { $0.code == .timedOut }
      }
    window.withLock { $0.leave(place, isCongested: isCongested) }
  }
}
