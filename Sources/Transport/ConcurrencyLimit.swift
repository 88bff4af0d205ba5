/// How many requests that name it run at a time. All of them have to use the same lane of the same client, whose thread
/// asks; nothing here may block.
public protocol ConcurrencyLimit: AnyObject, Sendable {
  /// A request may begin. Nil if it has to wait: it is asked for again when another request of the lane has ended.
  /// - Returns: what ``leave(_:after:)`` is told.
  func enter() -> Int?

  /// A request that has begun is over.
  /// - Parameters:
  ///   - place: what ``enter()`` returned.
  ///   - result: what becomes of it; `CancellationError` if nobody wanted it any more.
  func leave(_ place: Int, after result: Result<HTTPResponse, any Error>)
}
