/// A fault of the host that has failed a job's set-up, and will fail that of the next job, too. Never what a job brings
/// along itself: an asset, a Git repository, test code.
package enum HostFault: Sendable, Hashable {
  /// The pool cannot be emptied.
  case uncleanPool
  /// The test backend's program is missing or cannot be read.
  case noIsotovideo
  /// The interpreter of the test backend is missing or cannot be executed.
  case noPerl
  /// The file system of the pool is full, mounted read-only, or damaged.
  case unwritablePool
  /// The cache cannot be written, for the same reasons.
  case unwritableCache
  /// No share of a web UI is there, which is named as its entry of HOST.
  case noShare(webUI: String)
}
