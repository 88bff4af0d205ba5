/// Makes the bytes of a part of a body while they are sent, so that they are never all in memory.
public protocol BodySource: Sendable {
  /// The bytes from `offset` on: at least one, and as many as suit the source. They have to be the same each time.
  ///
  /// Called on the client's thread for files, where it may block, once at a time. Each offset is where the bytes before ended,
  /// from 0 on; only a request that is sent again begins anew, mostly at 0. One piece is asked for ahead of what is sent.
  /// - Throws: whatever makes the rest impossible. It ends the request with ``TransportError/Code/file``.
  func read(at offset: Int) throws -> [UInt8]
}
