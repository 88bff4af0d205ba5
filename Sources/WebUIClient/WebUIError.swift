/// A call to a web UI did not do what it was made for.
package struct WebUIError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What went wrong, by what it means for the caller.
  package enum Code: Sendable, Hashable {
    /// An answer with this HTTP status.
    case status(Int)
    /// No usable answer: no connection, one that broke, or a time-out.
    case connection(isTimeout: Bool)
    /// An answer that should have been JSON and is not, or that the web UI cannot have given.
    case notJSON
    /// Nothing that could be sent: a file that cannot be read, a URL that is none, an agent that is ending.
    case unsendable
  }

  package var code: Code
  /// As it ends up in a job's reason (protocol §2): `503 response: Service Unavailable`, `Connection error: …`.
  package var description: String
  /// How long the web UI asks to wait before the next try.
  package var retryAfter: Duration?
  /// How far the clocks are apart, if that is worth a word.
  package var clockDifference: ClockDifference?

  package init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }

  /// The error for the log, with what to do about it.
  package var advice: String { clockDifference.map { "\(description) - \($0)" } ?? description }

  /// Whether the same call may succeed later.
  package var isTemporary: Bool {
    switch code {
    case .status(let status): status >= 500 || status < 400 || [408, 425, 429, 490].contains(status)
    case .connection, .notJSON: true
    case .unsendable: false
    }
  }

  /// Whether the web UI has too much to do: the next try has to wait longer.
  package var isBusy: Bool {
    switch code {
    case .status(let status): [408, 425, 429, 502, 503, 504, 598].contains(status)
    case .connection(let isTimeout): isTimeout
    case .notJSON, .unsendable: false
    }
  }
}
