/// The messages of one connection in the order received. Ends when the connection has ended and everything received
/// before was taken. For one consumer: of two, one gets the end.
public struct WebSocketMessages: AsyncSequence, Sendable {
  /// A text message.
  public typealias Element = String
  /// Never throws; why it ended, the connection's closure says.
  public typealias Failure = Never

  let inbox: WebSocketInbox

  /// Takes messages out of the inbox.
  public struct Iterator: AsyncIteratorProtocol {
    let inbox: WebSocketInbox

    /// The next message; `nil` at the end, or when the task is cancelled.
    public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async -> String? {
      await inbox.next()
    }
  }

  /// Begins to take messages.
  public func makeAsyncIterator() -> Iterator { Iterator(inbox: inbox) }
}
