/// The command line as far as it is configuration (protocol §1.4).
package struct CommandLineOptions: Sendable, Hashable {
  package var instance = 1
  /// HOST, as written; nil if not given.
  package var hosts: String?
  package var apiKey: String?
  package var apiSecret: String?
  /// Path of isotovideo; nil for the usual places.
  package var isotovideo: String?
  /// Leave the pool directory as it is between jobs.
  package var keepsPool = false
  /// Log at level debug, and tell jobs to.
  package var isVerbose = false

  package init() {}
}
