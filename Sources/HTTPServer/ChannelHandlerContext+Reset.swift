internal import NIOCore

extension ChannelHandlerContext {
  /// Closes the connection with RST instead of FIN.
  func reset() {
    let bound = loopBound
    let lingerSet =
      (channel as? any SocketOptionProvider)?
      .unsafeSetSocketOption(level: .socket, name: .so_linger, value: NoLinger())
      ?? eventLoop.makeSucceededVoidFuture()
    lingerSet.whenComplete { _ in bound.value.close(promise: nil) }
  }
}

/// C's `struct linger` that is on, with no time.
private struct NoLinger {
  let isOn: CInt = 1
  let seconds: CInt = 0
}
