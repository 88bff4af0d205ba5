import CCurl
import Glibc

/// The life of a lane's thread: takes commands, lets libcurl work, delivers what is finished, watches the limits.
final class TransferLoop {
  private let mailbox: Mailbox<TransferLane.Command>
  private let multi: MultiHandle
  private let configuration: HTTPClient.Configuration
  private var transfers: [ObjectIdentifier: Transfer] = [:]
  private var transfersByHandle: [UnsafeMutableRawPointer: Transfer] = [:]
  private var idle: [UnsafeMutableRawPointer] = []
  private var isStopping = false
  /// No transfer's limit is nearer than this. Activity only moves limits away, so it is looked at again when reached.
  private var nextLimit: ContinuousClock.Instant?

  init(
    _ mailbox: Mailbox<TransferLane.Command>, _ multi: MultiHandle, _ configuration: HTTPClient.Configuration
  ) {
    self.mailbox = mailbox
    self.multi = multi
    self.configuration = configuration
  }

  func run() {
    blockSIGPIPE()
    while !isStopping {
      for command in mailbox.take() { perform(command) }
      var running: Int32 = 0
      curl_multi_perform(multi.pointer, &running)
      deliver()
      enforceLimits()
      if !isStopping { curl_multi_poll(multi.pointer, nil, 0, waitMilliseconds, nil) }
    }
    let refused = mailbox.close()
    for transfer in transfers.values { finish(transfer, .failure(transfer.order.shutDown)) }
    for case .start(let order) in refused { order.answer.fail(order.shutDown) }
    for easy in idle { curl_easy_cleanup(easy) }
  }

  private func perform(_ command: TransferLane.Command) {
    switch command {
    case .start(let order): start(order)
    case .cancel(let id):
      if let transfer = transfers[id] { finish(transfer, .failure(CancellationError())) }
    case .stop: isStopping = true
    }
  }

  private func start(_ order: TransferOrder) {
    guard let easy = idle.popLast() ?? curl_easy_init() else {
      order.answer.fail(outOfMemory(order))
      return
    }
    do {
      let transfer = try Transfer(order, easy, configuration)
      transfers[ObjectIdentifier(order)] = transfer
      transfersByHandle[easy] = transfer
      guard curl_multi_add_handle(multi.pointer, easy) == CURLM_OK else {
        return finish(transfer, .failure(outOfMemory(order)))
      }
      note(transfer.nextLimit)
    } catch {
      recycle(easy)
      order.answer.fail(error)
    }
  }

  private func deliver() {
    var left: Int32 = 0
    while let message = curl_multi_info_read(multi.pointer, &left) {
      guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else { continue }
      let code = ccurl_message_result(message)
      if let transfer = transfersByHandle[easy] { finish(transfer, transfer.result(code)) }
    }
  }

  private func enforceLimits() {
    let now = ContinuousClock.now
    guard let limit = nextLimit, limit <= now else { return }
    nextLimit = nil
    for transfer in transfers.values {
      if let error = transfer.overdue(now) {
        finish(transfer, .failure(error))
      } else {
        note(transfer.nextLimit)
      }
    }
  }

  private func note(_ limit: ContinuousClock.Instant) {
    nextLimit = min(nextLimit ?? limit, limit)
  }

  private var waitMilliseconds: Int32 {
    guard let nextLimit else { return 60_000 }
    let wait = ContinuousClock.now.duration(to: nextLimit)
    return Int32(min(max(wait / .milliseconds(1), 0), 59_999)) + 1
  }

  private func finish(_ transfer: Transfer, _ result: Result<HTTPResponse, any Error>) {
    transfers[ObjectIdentifier(transfer.order)] = nil
    transfersByHandle[transfer.easy] = nil
    curl_multi_remove_handle(multi.pointer, transfer.easy)
    recycle(transfer.easy)
    transfer.order.answer.resolve(result)
  }

  private func recycle(_ easy: UnsafeMutableRawPointer) {
    curl_easy_reset(easy)
    if idle.count < configuration.connectionsPerLane { idle.append(easy) } else { curl_easy_cleanup(easy) }
  }

  private func outOfMemory(_ order: TransferOrder) -> TransportError {
    TransportError(.system, "\(order.endpoint.description): libcurl is out of memory")
  }
}

/// Keeps a write to a closed TLS connection from killing the process; the write's error tells enough.
func blockSIGPIPE() {
  var signals = sigset_t()
  sigemptyset(&signals)
  sigaddset(&signals, SIGPIPE)
  pthread_sigmask(SIG_BLOCK, &signals, nil)
}
