/// Why a slot takes no jobs at present (protocol §4).
package struct Obstacle: Sendable, Hashable {
  /// What is in the way and what to do about it, as web UIs show it.
  package var text: String
  /// Jobs that are queued already cannot be run either.
  package var isFatal: Bool
  /// It may be gone in a moment.
  package var isEphemeral: Bool

  package init(_ text: String, isFatal: Bool = false, isEphemeral: Bool = false) {
    (self.text, self.isFatal, self.isEphemeral) = (text, isFatal, isEphemeral)
  }
}
