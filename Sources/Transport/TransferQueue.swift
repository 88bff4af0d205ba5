/// Decides whose turn it is when there are more requests than connections: who came first, unless all that its host may
/// have are taken, or all places of its ``ConcurrencyLimit``.
///
/// libcurl has such a queue, too, but forgets requests in it: with all connections idle they wait until another request
/// happens to end.
struct TransferQueue: Sendable {
  private struct Host: Sendable, Hashable {
    var scheme: String
    var host: String
    var port: Int

    init(_ endpoint: Endpoint) { (scheme, host, port) = (endpoint.scheme, endpoint.host, endpoint.port) }
  }

  private let limit: Int
  private let limitPerHost: Int
  private(set) var waiting: [TransferOrder] = []
  private var running: [Host: Int] = [:]
  private var runningInAll = 0
  /// Those that requests have of their limits.
  private var places: [ObjectIdentifier: Int] = [:]

  /// - Parameters:
  ///   - limit: requests that run at a time.
  ///   - limitPerHost: those to one host and port.
  init(limit: Int, limitPerHost: Int) {
    self.limit = limit
    self.limitPerHost = limitPerHost
  }

  /// Takes a request in.
  mutating func add(_ order: TransferOrder) { waiting.append(order) }

  /// The request that is to run now, if there is one. It runs until ``end(_:)``.
  mutating func next() -> TransferOrder? {
    guard runningInAll < limit, let index = nextIndex() else { return nil }
    let order = waiting.remove(at: index)
    running[Host(order.endpoint), default: 0] += 1
    runningInAll += 1
    return order
  }

  /// The first that may run, which has its place then.
  private mutating func nextIndex() -> Int? {
    var full: [any ConcurrencyLimit] = []
    for (index, order) in waiting.enumerated() {
      guard let concurrency = order.request.concurrency else {
        if hasRoom(for: order) { return index }
        continue
      }
      guard !full.contains(where: { $0 === concurrency }), hasRoom(for: order) else { continue }
      if let place = concurrency.enter() {
        places[ObjectIdentifier(order)] = place
        return index
      }
      full.append(concurrency)
    }
    return nil
  }

  private func hasRoom(for order: TransferOrder) -> Bool {
    running[Host(order.endpoint), default: 0] < limitPerHost
  }

  /// Notes that a request runs no more.
  mutating func end(_ order: TransferOrder, after result: Result<HTTPResponse, any Error>) {
    if let place = places.removeValue(forKey: ObjectIdentifier(order)) {
      order.request.concurrency?.leave(place, after: result)
    }
    let host = Host(order.endpoint)
    let left = running[host, default: 0] - 1
    running[host] = left > 0 ? left : nil
    runningInAll -= 1
  }

  /// Takes a request out that still waits. Whether it did.
  mutating func remove(_ order: TransferOrder) -> Bool {
    guard let index = waiting.firstIndex(where: { $0 === order }) else { return false }
    waiting.remove(at: index)
    return true
  }
}
