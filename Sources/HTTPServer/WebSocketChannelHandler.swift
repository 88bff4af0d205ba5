internal import NIOCore
internal import NIOWebSocket

/// Last handler of a connection that became a WebSocket: frames to messages and back, ping answers and the closing
/// handshake. A broken rule of RFC 6455 closes with the code it names.
final class WebSocketChannelHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias InboundOut = Inbound
  typealias OutboundIn = Outbound
  typealias OutboundOut = WebSocketFrame

  private let limits: ServerLimits
  private let answersPings: Bool
  /// The fragments of a message that is not complete.
  private var fragments: ByteBuffer?
  private var hasSentClose = false
  private var hasEnded = false

  init(limits: ServerLimits, answersPings: Bool) {
    self.limits = limits
    self.answersPings = answersPings
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasEnded else { return }
    let frame = unwrapInboundIn(data)
    guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else { return fail(1002, context) }
    switch frame.opcode {
    case .text:
      guard fragments == nil else { return fail(1002, context) }
      receive(frame.unmaskedData, isLast: frame.fin, context)
    case .continuation:
      guard var message = fragments else { return fail(1002, context) }
      var more = frame.unmaskedData
      message.writeBuffer(&more)
      receive(message, isLast: frame.fin, context)
    case .binary: fail(1003, context)
    case .ping:
      // A client that sends pings and takes no answers gets none, instead of all our memory.
      if answersPings, !hasSentClose, context.channel.isWritable {
        context.writeAndFlush(
          wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData)), promise: nil)
      }
    case .connectionClose: receiveClose(frame.unmaskedData, context)
    case .pong: break
    default: fail(1002, context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error {
    case NIOWebSocketError.invalidFrameLength: fail(1009, context)
    case is NIOWebSocketError: fail(1002, context)
    default: context.close(promise: nil)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard event is ServerStops else { return context.fireUserInboundEventTriggered(event) }
    sendClose(context, code: 1001)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .frame(let frame) where !hasSentClose:
      context.write(wrapOutboundOut(frame), promise: promise)
    case .close(let code, let reason):
      sendClose(context, code: code, reason: reason)
      promise?.succeed()
    case .reset:
      context.reset()
      promise?.succeed()
    default:
      promise?.fail(WebSocket.Closed())
    }
  }

  private func receive(_ message: ByteBuffer, isLast: Bool, _ context: ChannelHandlerContext) {
    guard message.readableBytes <= limits.messageBytes else { return fail(1009, context) }
    guard isLast else { return fragments = message }
    fragments = nil
    guard let text = String(validating: message.readableBytesView, as: UTF8.self) else { return fail(1007, context) }
    context.fireChannelRead(wrapInboundOut(.message(.text(text))))
  }

  private func receiveClose(_ payload: ByteBuffer, _ context: ChannelHandlerContext) {
    var payload = payload
    let isValid = payload.readableBytes != 1
    let code = payload.readInteger(as: UInt16.self) ?? 1005
    hasEnded = true
    context.fireChannelRead(wrapInboundOut(.message(.closed(code))))
    guard !hasSentClose else { return context.close(promise: nil) }
    hasSentClose = true
    closeAfter(closeFrame(code: isValid ? code : 1002), context)
  }

  /// The client broke the protocol: tell it, and do not wait for an answer.
  private func fail(_ code: UInt16, _ context: ChannelHandlerContext) {
    guard !hasEnded else { return }
    hasEnded = true
    guard !hasSentClose else { return context.close(promise: nil) }
    hasSentClose = true
    closeAfter(closeFrame(code: code), context)
  }

  private func sendClose(_ context: ChannelHandlerContext, code: UInt16, reason: String = "") {
    guard !hasSentClose else { return }
    hasSentClose = true
    context.writeAndFlush(wrapOutboundOut(closeFrame(code: code, reason: reason)), promise: nil)
    let bound = context.loopBound
    context.eventLoop.scheduleTask(in: TimeAmount(limits.closing)) { bound.value.close(promise: nil) }
  }

  private func closeAfter(_ frame: WebSocketFrame, _ context: ChannelHandlerContext) {
    let bound = context.loopBound
    context.writeAndFlush(wrapOutboundOut(frame)).whenComplete { _ in bound.value.close(promise: nil) }
  }

  private func closeFrame(code: UInt16, reason: String = "") -> WebSocketFrame {
    var payload = ByteBuffer()
    if code != 1005 {
      payload.writeInteger(code)
      // A control frame holds 125 bytes.
      payload.writeBytes(reason.utf8.prefix(123))
    }
    return WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)
  }
}
