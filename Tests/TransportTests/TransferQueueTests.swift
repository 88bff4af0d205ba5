import Testing

@testable import Transport

@Suite("Whose request is next")
struct TransferQueueTests {
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
    queue.end(first)
    #expect(targets(&queue) == ["/3"])
    #expect(queue.waiting.map(\.endpoint.target) == ["/5"])
  }

  @Test("scheme and port are of the host; one that ended leaves its place to its own kind")
  func hosts() throws {
    var queue = TransferQueue(limit: 9, limitPerHost: 1)
    let orders = try ["http://a/1", "https://a/2", "http://a:81/3", "http://a/4"].map(order)
    for order in orders { queue.add(order) }
    #expect(targets(&queue) == ["/1", "/2", "/3"])
    queue.end(orders[1])
    #expect(targets(&queue) == [])
    queue.end(orders[0])
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
    queue.end(first)
    #expect(targets(&queue) == [])
  }
}
