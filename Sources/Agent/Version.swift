/// Which worker-agent this is.
package enum Version {
  /// Of the program: what `--version` prints and servers see as `User-Agent`.
  package static let current = "0.4.0"
}
