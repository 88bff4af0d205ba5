import Support
import Testing

@testable import Transport

@Suite("Whose request is next")
struct TransferQueueTests {
  private let cancelled = Result<HTTPResponse, any Error>.failure(CancellationError())

  private func order(_ url: String) throws -> TransferOrder {
    TransferOrder(HTTPRequest(.get, url), try Endpoint(url, schemes: ["http": 80, "https": 443]))
  }

  private func targets(_ queue: inout TransferQueue) -> [String] {
    var targets: [String] = []
    while let order = queue.next() { targets.append(order.endpoint.target) }
    return targets
  }

  @Test("who came first, up to both limits")
  func order() throws {
    var queue = TransferQueue(limit: 3, limitPerHost: 2)
    let first = try order("http://a/1")
    for order in [first] + (try ["http://a/2", "http://a/3", "http://b/4", "http://b/5"].map(order)) {
      queue.add(order)
    }
    #expect(targets(&queue) == ["/1", "/2", "/4"])
    queue.end(first, after: cancelled)
    #expect(targets(&queue) == ["/3"])
    #expect(queue.waiting.map(\.endpoint.target) == ["/5"])
  }

  @Test("scheme and port are of the host; one that ended leaves its place to its own kind")
  func hosts() throws {
    var queue = TransferQueue(limit: 9, limitPerHost: 1)
    let orders = try ["http://a/1", "https://a/2", "http://a:81/3", "http://a/4"].map(order)
    for order in orders { queue.add(order) }
    #expect(targets(&queue) == ["/1", "/2", "/3"])
    queue.end(orders[1], after: cancelled)
    #expect(targets(&queue) == [])
    queue.end(orders[0], after: cancelled)
    #expect(targets(&queue) == ["/4"])
  }

  @Test("one that is taken out does not run, and was not running if it ran")
  func removal() throws {
    var queue = TransferQueue(limit: 1, limitPerHost: 1)
    let (first, second) = (try order("http://a/1"), try order("http://a/2"))
    queue.add(first)
    queue.add(second)
    #expect(targets(&queue) == ["/1"])
    #expect(!queue.remove(first) && queue.remove(second) && !queue.remove(second))
    queue.end(first, after: cancelled)
    #expect(targets(&queue) == [])
  }

  @Test("those that share a limit wait for each other, and nobody else does")
  func concurrency() throws {
    let (two, none) = (Places(2), Places(0))
    func order(_ url: String, _ concurrency: (any ConcurrencyLimit)?) throws -> TransferOrder {
      var request = HTTPRequest(.get, url)
      request.concurrency = concurrency
      return TransferOrder(request, try Endpoint(url, schemes: ["http": 80]))
    }
    var queue = TransferQueue(limit: 9, limitPerHost: 4)
    let orders = try [
      order("http://a/1", two), order("http://b/2", none), order("http://a/3", two), order("http://a/4", two),
      order("http://a/5", nil), order("http://b/6", nil), order("http://a/7", two),
    ]
    for order in orders { queue.add(order) }
    #expect(targets(&queue) == ["/1", "/3", "/5", "/6"])
    queue.end(orders[2], after: .success(HTTPResponse(status: 503, headers: [], body: [])))
    let isOut = queue.remove(orders[3])
    #expect(isOut)
    #expect(targets(&queue) == ["/7"])
    for order in [orders[0], orders[4], orders[6]] { queue.end(order, after: cancelled) }
    #expect(two.log == ["2: 503", "1: 0", "3: 0"])
    #expect(targets(&queue) == [])
    #expect(queue.waiting.map(\.endpoint.target) == ["/2"])
  }

  @Test("the time of a request with a limit begins when it runs")
  func deadline() throws {
    var request = HTTPRequest(.get, "http://a/1")
    request.limits.total = .seconds(5)
    let endpoint = try Endpoint(request.url, schemes: ["http": 80])
    #expect(TransferOrder(request, endpoint).deadline != nil)
    request.concurrency = Places(0)
    let waiting = TransferOrder(request, endpoint)
    #expect(waiting.deadline == nil)
    waiting.begin()
    let deadline = try #require(waiting.deadline)
    #expect(deadline > .now)
    waiting.begin()
    #expect(waiting.deadline == deadline)
  }
}

/// Has so many places.
private final class Places: ConcurrencyLimit {
  private let state: Guarded<(free: Int, next: Int, log: [String])>

  init(_ free: Int) { state = Guarded((free, 0, [])) }

  var log: [String] { state.withLock { $0.log } }

  func enter() -> Int? {
    state.withLock { state in
      guard state.free > 0 else { return nil }
      state.free -= 1
      state.next += 1
      return state.next
    }
  }

  func leave(_ place: Int, after result: Result<HTTPResponse, any Error>) {
    let status = (try? result.get())?.status
    state.withLock { state in
      state.free += 1
      state.log.append("\(place): \(status ?? 0)")
    }
  }
}
