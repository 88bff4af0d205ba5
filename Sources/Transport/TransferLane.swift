import CCurl
import Glibc
import Support

/// One thread with a libcurl multi handle, and the mailbox that leads to it.
final class TransferLane: Sendable {
  /// What a lane is asked to do.
  enum Command: Sendable {
    case start(TransferOrder)
    case cancel(ObjectIdentifier)
    case stop
  }

  private let configuration: HTTPClient.Configuration
  private let mailbox = Mailbox<Command>()
  private let multi: MultiHandle
  private let end = Promise<Void>()

  init(name: String, _ configuration: HTTPClient.Configuration) throws {
    self.configuration = configuration
    multi = try MultiHandle(configuration)
    do {
      try ServiceThread.start(name: name) { [mailbox, multi, end, configuration] in
        TransferLoop(mailbox, multi, configuration).run()
        end.succeed(())
      }
    } catch {
      throw TransportError(.system, "\(error)")
    }
  }

  func send(_ request: HTTPRequest) async throws -> HTTPResponse {
    try Task.checkCancellation()
    let order = try TransferOrder(request)
    // The start is in the mailbox before the cancellation handler exists, so a cancel never overtakes it.
    guard post(.start(order)) else { throw order.shutDown }
    return try await withTaskCancellationHandler {
      try await order.answer.value
    } onCancel: {
      _ = post(.cancel(ObjectIdentifier(order)))
    }
  }

  func stop() { _ = post(.stop) }

  func ended() async { _ = try? await end.value }

  private func post(_ command: Command) -> Bool {
    guard mailbox.post(command) else { return false }
    multi.wake()
    return true
  }
}

/// A request on its way to a lane, and the promise of its answer.
final class TransferOrder: Sendable {
  let request: HTTPRequest
  let endpoint: Endpoint
  let answer = Promise<HTTPResponse>()

  var shutDown: TransportError { TransportError(.shutDown, "\(endpoint.description): client shut down") }

  init(_ request: HTTPRequest) throws(TransportError) {
    self.request = request
    endpoint = try Endpoint(request.url, schemes: ["http": 80, "https": 443])
    if let header = request.headers.first(where: { !$0.isSendable }) {
      throw TransportError(.badURL, "\(endpoint.description): header \(header.name.debugDescription) cannot be sent")
    }
  }
}

/// Owns the `CURLM`.
final class MultiHandle: @unchecked Sendable {
  // Sendable is proven by libcurl's rules: all calls are made by the lane's thread, but `curl_multi_wakeup`, which may
  // be called from any thread, and the clean-up, when nobody holds the handle any more.
  let pointer: UnsafeMutableRawPointer

  private static let isLibraryReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

  init(_ configuration: HTTPClient.Configuration) throws(TransportError) {
    guard Self.isLibraryReady, let pointer = curl_multi_init() else {
      throw TransportError(.system, "libcurl cannot be initialised: out of memory")
    }
    self.pointer = pointer
    _ = ccurl_multi_set_long(pointer, CURLMOPT_MAX_TOTAL_CONNECTIONS, configuration.connectionsPerLane)
    _ = ccurl_multi_set_long(pointer, CURLMOPT_MAX_HOST_CONNECTIONS, configuration.connectionsPerHost)
    _ = ccurl_multi_set_long(pointer, CURLMOPT_MAXCONNECTS, configuration.connectionsPerLane)
  }

  deinit { curl_multi_cleanup(pointer) }

  func wake() { curl_multi_wakeup(pointer) }
}
