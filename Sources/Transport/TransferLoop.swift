import CCurl
import Glibc
import Support

/// The life of a lane's thread: takes commands, lets libcurl work, delivers what is finished, watches the limits.
final class TransferLoop {
  private let mailbox: TransferMailbox
  private let multi: UnsafeMutableRawPointer
  private let configuration: HTTPClient.Configuration
  private let files: IOLane
  private var queue: TransferQueue
  private var transfers: [ObjectIdentifier: Transfer] = [:]
  private var transfersByHandle: [UnsafeMutableRawPointer: Transfer] = [:]
  private var idleHandles: [UnsafeMutableRawPointer] = []
  private var isStopping = false
  /// No transfer's limit is nearer than this. Activity only moves limits away, so it is looked at again when reached.
  private var nextLimit: ContinuousClock.Instant?

  init(_ mailbox: TransferMailbox, _ configuration: HTTPClient.Configuration, _ files: IOLane) {
    self.mailbox = mailbox
    multi = mailbox.multi.pointer
    self.configuration = configuration
    self.files = files
    queue = TransferQueue(limit: configuration.connectionsPerLane, limitPerHost: configuration.connectionsPerHost)
  }

  func run() {
    blockSIGPIPE()
    while !isStopping {
      for command in mailbox.take() { perform(command) }
      while let order = queue.next() { start(order) }
      var running: Int32 = 0
      curl_multi_perform(multi, &running)
      deliver()
      enforceLimits()
      // Whoever has ended leaves room for the next, who is not to wait for something to happen.
      while let order = queue.next() { start(order) }
      if !isStopping, mailbox.rest() { curl_multi_poll(multi, nil, 0, waitMilliseconds, nil) }
    }
    for order in queue.waiting { order.answer.open(with: .failure(order.shutDown)) }
    for transfer in transfers.values { finish(transfer, .failure(transfer.order.shutDown)) }
    for case .start(let order) in mailbox.take(closing: true) { order.answer.open(with: .failure(order.shutDown)) }
    for handle in idleHandles { curl_easy_cleanup(handle) }
  }

  private func perform(_ command: TransferLane.Command) {
    switch command {
    case .start(let order):
      // One that was cancelled while its files were read has its answer already.
      guard order.answer.value == nil else { return }
      queue.add(order)
      if let deadline = order.deadline { note(deadline) }
    case .cancel(let order):
      if let transfer = transfers[ObjectIdentifier(order)] {
        finish(transfer, .failure(CancellationError()))
      } else {
        _ = queue.remove(order)
        order.answer.open(with: .failure(CancellationError()))
      }
    case .supply(let order, let number, let answer):
      if let transfer = transfers[ObjectIdentifier(order)] { transfer.supply(number, answer) }
    case .run(let body): body()
    case .stop: isStopping = true
    }
  }

  private func start(_ order: TransferOrder) {
    let outOfMemory = TransportError(.system, "\(order.endpoint.description): libcurl is out of memory")
    guard let handle = idleHandles.popLast() ?? curl_easy_init() else {
      order.answer.open(with: .failure(outOfMemory))
      return queue.end(order, after: .failure(outOfMemory))
    }
    order.begin()
    let transfer = Transfer(order, handle, configuration) { [files, mailbox] demand in
      files.submit { _ = mailbox.post(.supply(order, number: demand.number, demand.meet())) }
    }
    transfers[ObjectIdentifier(order)] = transfer
    transfersByHandle[handle] = transfer
    guard curl_multi_add_handle(multi, handle) == CURLM_OK else { return finish(transfer, .failure(outOfMemory)) }
    note(transfer.nextLimit)
  }

  private func deliver() {
    var left: Int32 = 0
    while let message = curl_multi_info_read(multi, &left) {
      guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle else { continue }
      let code = ccurl_message_result(message)
      if let transfer = transfersByHandle[handle] { finish(transfer, transfer.result(code)) }
    }
  }

  private func enforceLimits() {
    let now = ContinuousClock.now
    guard let limit = nextLimit, limit <= now else { return }
    nextLimit = nil
    for order in queue.waiting {
      guard let deadline = order.deadline else { continue }
      if deadline <= now, queue.remove(order) {
        order.answer.open(with: .failure(order.overdue))
      } else {
        note(deadline)
      }
    }
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
    // Bounded: by the line itself.
    return Int32(min(max(wait / .milliseconds(1), 0), 59_999)) + 1
  }

  private func finish(_ transfer: Transfer, _ result: Result<HTTPResponse, any Error>) {
    transfers[ObjectIdentifier(transfer.order)] = nil
    transfersByHandle[transfer.handle] = nil
    queue.end(transfer.order, after: result)
    curl_multi_remove_handle(multi, transfer.handle)
    if idleHandles.count < configuration.connectionsPerLane {
      curl_easy_reset(transfer.handle)
      idleHandles.append(transfer.handle)
    } else {
      curl_easy_cleanup(transfer.handle)
    }
    transfer.order.answer.open(with: result)
  }
}

/// Keeps a write to a closed TLS connection from killing the process; the write's error tells enough.
func blockSIGPIPE() {
  var signals = sigset_t()
  sigemptyset(&signals)
  sigaddset(&signals, SIGPIPE)
  pthread_sigmask(SIG_BLOCK, &signals, nil)
}
