internal import NIOCore
internal import NIOHTTP1
internal import NIOWebSocket

/// Told to a connection's pipeline when the server stops: finish what is under way and close.
struct ServerStops: Sendable {}

/// Last handler of a connection: HTTP parts to ``Inbound`` and back, with the idle limit; on ``Outbound/upgrade`` it puts
/// the WebSocket's handlers in its place. That works on any request of a connection, after its handler has decided.
final class HTTPChannelHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = Inbound
  typealias OutboundIn = Outbound
  typealias OutboundOut = HTTPServerResponsePart

  private let limits: ServerLimits
  private let decoder: ByteToMessageHandler<HTTPRequestDecoder>
  private let encoder: HTTPResponseEncoder
  /// Requests whose response is not complete; more than one if the client sends ahead.
  private var unanswered = 0
  /// A request has begun and not ended.
  private var isReceiving = false
  private var isStopping = false
  private var hasFailed = false
  private var isGone = false
  /// The connection's task wants more of the client's bytes.
  private var isReading = false
  private var deadline = NIODeadline.now()
  private var timer: Scheduled<Void>?

  private init(limits: ServerLimits) {
    self.limits = limits
    var parsing = NIOHTTPDecoderLimitConfiguration()
    parsing.maxHeaderFieldSize = limits.headerBytes
    parsing.maxHeaderListSize = limits.headerBytes
    decoder = ByteToMessageHandler(
      HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: parsing))
    encoder = HTTPResponseEncoder()
  }

  /// Prepares a new connection's pipeline.
  static func install(in channel: any Channel, limits: ServerLimits) throws {
    let handler = HTTPChannelHandler(limits: limits)
    try channel.pipeline.syncOperations.addHandlers([handler.decoder, handler.encoder, handler])
  }

  func handlerAdded(context: ChannelHandlerContext) {
    extendDeadline()
    schedule(context)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    isGone = true
    timer?.cancel()
  }

  func channelInactive(context: ChannelHandlerContext) {
    isGone = true
    timer?.cancel()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasFailed else { return }
    extendDeadline()
    switch unwrapInboundIn(data) {
    case .head(let head):
      unanswered += 1
      isReceiving = true
      context.fireChannelRead(wrapInboundOut(.head(head)))
    case .body(let bytes):
      context.fireChannelRead(wrapInboundOut(.body(bytes)))
    case .end:
      isReceiving = false
      context.fireChannelRead(wrapInboundOut(.end))
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error {
    case HTTPParserError.headerOverflow: fail(.headersTooLarge, context)
    case let error as HTTPParserError: fail(.malformed("\(error)"), context)
    default: context.close(promise: nil)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard event is ServerStops else { return context.fireUserInboundEventTriggered(event) }
    isStopping = true
    if unanswered == 0 { context.close(promise: nil) }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    extendDeadline()
    context.fireChannelWritabilityChanged()
  }

  func read(context: ChannelHandlerContext) {
    isReading = true
    context.read()
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isReading = false
    context.fireChannelReadComplete()
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .head(let head):
      context.write(wrapOutboundOut(.head(head)), promise: promise)
    case .body(let bytes):
      context.write(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: promise)
    case .end:
      context.write(wrapOutboundOut(.end(nil)), promise: promise)
      unanswered -= 1
      extendDeadline()
      if isStopping { finish(context, lingering: false) }
    case .finish(let lingering):
      finish(context, lingering: lingering)
      promise?.succeed()
    case .reset:
      context.reset()
      promise?.succeed()
    case .upgrade(let headers, let answersPings):
      upgrade(context, headers: headers, answersPings: answersPings, promise: promise)
    case .frame, .close:
      promise?.fail(WebSocket.Closed())
    }
  }

  private func fail(_ error: RequestError, _ context: ChannelHandlerContext) {
    guard !hasFailed else { return context.close(promise: nil) }
    hasFailed = true
    extendDeadline()
    context.fireChannelRead(wrapInboundOut(.failure(error)))
    context.fireChannelReadComplete()
  }

  private func finish(_ context: ChannelHandlerContext, lingering: Bool) {
    let flushed = context.eventLoop.makePromise(of: Void.self)
    let bound = context.loopBound
    let closing = TimeAmount(limits.closing)
    hasFailed = true  // What still comes is not for the task.
    flushed.futureResult.whenComplete { _ in
      let context = bound.value
      guard lingering else { return context.close(promise: nil) }
      context.close(mode: .output, promise: nil)
      context.eventLoop.scheduleTask(in: closing) { bound.value.close(promise: nil) }
    }
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer()))), promise: flushed)
  }

  private func upgrade(
    _ context: ChannelHandlerContext, headers: HTTPHeaders, answersPings: Bool, promise: EventLoopPromise<Void>?
  ) {
    let head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: promise)
    let pipeline = context.pipeline.syncOperations
    do {
      let frames = ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: limits.messageBytes))
      let sockets = WebSocketChannelHandler(limits: limits, answersPings: answersPings)
      try pipeline.addHandlers([frames, WebSocketFrameEncoder(), sockets], position: .after(self))
      // The decoder goes last: it passes the bytes it has not used to the frame decoder.
      pipeline.removeHandler(encoder, promise: nil)
      pipeline.removeHandler(context: context, promise: nil)
      pipeline.removeHandler(decoder, promise: nil)
      // Heard before, and not passed on. Only now the way is free for frames.
      if isStopping { pipeline.fireUserInboundEventTriggered(ServerStops()) }
    } catch {
      context.close(promise: nil)
    }
  }

  private func extendDeadline() { deadline = .now() + TimeAmount(limits.idle) }

  private func schedule(_ context: ChannelHandlerContext) {
    guard !isGone else { return }
    timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [self] in
      let waitsForClient = (isReading && (isReceiving || unanswered == 0)) || !context.channel.isWritable
      if !waitsForClient {
        extendDeadline()
      } else if deadline <= .now() {
        guard isReceiving, !hasFailed else { return context.close(promise: nil) }
        fail(.timeout, context)
      }
      schedule(context)
    }
  }
}
