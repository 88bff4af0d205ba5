package import Support
package import SystemPackage

/// What the cache service is to bring (protocol §9).
package enum CacheRequest: Sendable, Hashable {
  /// An asset of a job.
  /// - Parameters:
  ///   - type: `iso`, `hdd` or `other`.
  ///   - webUI: the entry of HOST, as written.
  case asset(job: Int64, type: String, name: String, webUI: String)
  /// The test code that rsync gets from `source`, into `tests` below `folder`.
  case tests(source: String, folder: FilePath)

  /// The body of `POST /enqueue`. Requests with the same lock are one download.
  package var body: JSON {
    switch self {
    case .asset(let job, let type, let name, let webUI):
      [
        "task": "cache_asset", "args": [.integer(job), .string(type), .string(name), .string(webUI)],
        "lock": .string("\(name).\(webUI)"),
      ]
    case .tests(let source, let folder):
      [
        "task": "cache_tests", "args": [.string(source), .string(folder.string)],
        "lock": .string("\(source).\(folder)"),
      ]
    }
  }

  /// What is waited for, in a few words.
  package var name: String {
    switch self {
    case .asset(_, let type, let name, _): "\(type)/\(name)"
    case .tests(let source, _): "tests from \(source)"
    }
  }

  /// What the log says of a request under way.
  package var announcement: String {
    switch self {
    case .asset(_, _, let name, _): "Downloading \(name)"
    case .tests: "Rsync \(route)"
    }
  }

  /// What could not be sent, in a job's reason.
  package var purpose: String {
    switch self {
    case .asset(_, _, let name, _): "asset request for \(name)"
    case .tests: "rsync \(route)"
    }
  }

  private var route: String {
    guard case .tests(let source, let folder) = self else { return "" }
    return "from '\(source)' to '\(folder)'"
  }
}
