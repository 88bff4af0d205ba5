import Support

/// One thread with a libcurl multi handle, and the mailbox that leads to it.
final class TransferLane: Sendable {
  /// What a lane's thread is told.
  enum Command: Sendable {
    case start(TransferOrder)
    case cancel(TransferOrder)
    case supply(TransferOrder, number: Int, Result<[UInt8], TransportError>)
    case run(@Sendable () -> Void)
    case stop
  }

  private static let schemes = ["http": 80, "https": 443]

  private let mailbox: TransferMailbox
  private let files: IOLane
  private let end = Latch<Void>()

  init(name: String, _ configuration: HTTPClient.Configuration, files: IOLane) throws {
    self.files = files
    mailbox = TransferMailbox(try MultiHandle(configuration))
    do {
      try ServiceThread.start(name: name) { [mailbox, end] in
        TransferLoop(mailbox, configuration, files).run()
        end.open(with: ())
      }
    } catch {
      throw TransportError(.system, "\(error)")
    }
  }

  func send(_ request: HTTPRequest) async throws -> HTTPResponse {
    try Task.checkCancellation()
    let endpoint = try Endpoint(request.url, schemes: TransferLane.schemes)
    if let header = request.headers.first(where: { !$0.isSendable }) {
      throw TransportError(.badURL, "\(endpoint.description): header \(header.name.debugDescription) cannot be sent")
    }
    let order = TransferOrder(request, endpoint)
    if request.body.hasFiles {
      startWithFiles(order)
    } else {
      try order.prepare()
      start(order)
    }
    do {
      return try await order.answer.wait().get()
    } catch is CancellationError {
      _ = mailbox.post(.cancel(order))
      throw CancellationError()
    }
  }

  private func start(_ order: TransferOrder) {
    if !mailbox.post(.start(order)) { order.answer.open(with: .failure(order.shutDown)) }
  }

  /// Starts a request when its files have been looked at, straight from the thread that does that.
  private func startWithFiles(_ order: TransferOrder) {
    files.submit(
      limit: order.request.limits.inactivity,
      orElse: { timedOut in
        order.answer.open(with: .failure(TransportError(.file, "cannot read the files to send: \(timedOut)")))
      },
      {
        do throws(TransportError) {
          try order.prepare()
          self.start(order)
        } catch {
          order.answer.open(with: .failure(error))
        }
      })
  }

  func submit(_ body: @escaping @Sendable () -> Void) { _ = mailbox.post(.run(body)) }

  func stop() { _ = mailbox.post(.stop) }

  /// Returns when the thread has ended.
  func ended() async { try? await end.wait() }
}

/// A request on its way through a lane, and what becomes of it.
final class TransferOrder: Sendable {
  let request: HTTPRequest
  let endpoint: Endpoint
  let answer = Latch<Result<HTTPResponse, any Error>>()
  private let prepared = Guarded<RequestBody?>(nil)
  /// From when its time counts; nil while it waits for who runs before it.
  private let start: Guarded<ContinuousClock.Instant?>

  init(_ request: HTTPRequest, _ endpoint: Endpoint) {
    self.request = request
    self.endpoint = endpoint
    start = Guarded(request.concurrency == nil ? .now : nil)
  }

  /// Notes that it runs now.
  func begin() { start.withLock { $0 = $0 ?? .now } }

  /// What is sent after the headers; nil for nothing, and before ``prepare()``.
  var body: RequestBody? { prepared.withLock { $0 } }

  /// Makes the body. Blocks if it has files.
  /// - Throws: ``TransportError`` with code `file`.
  func prepare() throws(TransportError) {
    let body = try RequestBody(request.body)
    prepared.withLock { $0 = body }
  }

  /// When the answer must be complete, if that is known yet.
  var deadline: ContinuousClock.Instant? {
    guard let start = start.withLock({ $0 }) else { return nil }
    return total.map { start + $0 }
  }

  /// From ``start`` to the end of the answer.
  private var total: Duration? {
    guard let body, request.limits.slowest > 0 else { return request.limits.total }
    // Bounded: by RequestBody.
    return request.limits.total.map { $0 + .seconds(body.length / request.limits.slowest) }
  }

  /// The error when the answer is not complete by then.
  var overdue: TransportError {
    TransportError(.timedOut, "\(endpoint.description): no complete answer within \(total ?? .zero)")
  }

  /// The error when the client ends first.
  var shutDown: TransportError { TransportError(.shutDown, "\(endpoint.description): client shut down") }
}
