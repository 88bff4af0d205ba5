import OpenQAProtocol
package import WebUIClient

/// What a failed registration means (protocol §3.1).
package enum RegistrationVerdict: Sendable, Hashable {
  /// Try again after the usual wait, or the one that the web UI asks for.
  case retry
  /// This web UI will never take this worker: the reason, with what to do about it.
  case disabled(String)

  package init(_ error: WebUIError) {
    switch error.code {
    case .status(426):
      self = .disabled("\(error) (the web UI needs another version of the worker: upgrade the older one)")
    case .status(let status) where (400..<500).contains(status) && ![408, 425, 429, 490].contains(status):
      if error.description.contains("timestamp mismatch") {
        self = .retry
      } else if status == 403 || status == 401 {
        self = .disabled("\(error) (check key and secret of this web UI in client.conf)")
      } else {
        self = .disabled(error.description)
      }
    case .unsendable: self = .disabled(error.description)
    case .status, .connection, .notJSON: self = .retry
    }
  }
}
