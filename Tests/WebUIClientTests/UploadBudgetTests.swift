import HTTPServer
import Support
import Testing
import Transport

@testable import WebUIClient

@Suite("The places for uploads", .timeLimit(.minutes(1)))
struct UploadBudgetTests {
  @Test("half of them when the web UI has too much to do, once for all that had begun, and up again one by one")
  func window() throws {
    var window = UploadWindow(maximum: 8)
    let places = (0..<8).compactMap { _ in window.enter() }
    #expect(places.count == 8 && window.enter() == nil)
    for place in places { window.leave(place, isCongested: true) }
    #expect(window.limit == 4 && window.used == 0)
    func leave(isCongested: Bool?, times: Int) throws {
      for _ in 0..<times {
        let place = window.enter()
        window.leave(try #require(place), isCongested: isCongested)
      }
    }
    try leave(isCongested: false, times: 4)
    #expect(window.limit == 4)
    try leave(isCongested: false, times: 1)
    #expect(window.limit == 5)
    try leave(isCongested: false, times: 6 + 7 + 8)
    #expect(window.limit == 8)
    try leave(isCongested: false, times: 100)
    #expect(window.limit == 8)
    try leave(isCongested: true, times: 10)
    #expect(window.limit == 1)
    try leave(isCongested: nil, times: 10)
    #expect(window.limit == 1)
  }

  @Test("what a busy web UI answers to takes places away, what else goes wrong does not")
  func errors() throws {
    let budget = UploadBudget(4)
    func end(after result: Result<HTTPResponse, any Error>) throws {
      let place = budget.enter()
      budget.leave(try #require(place), after: result)
    }
    func answer(_ status: Int) -> Result<HTTPResponse, any Error> {
      .success(HTTPResponse(status: status, headers: [], body: []))
    }
    try end(after: answer(400))
    try end(after: .failure(TransportError(.closed, "")))
    try end(after: .failure(CancellationError()))
    #expect(budget.limit == 4)
    try end(after: answer(503))
    #expect(budget.limit == 2)
    try end(after: .failure(TransportError(.timedOut, "")))
    #expect(budget.limit == 1)
    for _ in 0..<2 { try end(after: answer(200)) }
    #expect(budget.limit == 2)
  }

  @Test("never more at a time than there are places, with one client and many uploads; all places are free again")
  func sharing() async throws {
    let now = Guarded((current: 0, most: 0))
    let server = try await WebServer.start { _ in
      now.withLock {
        $0.current += 1
        $0.most = max($0.most, $0.current)
      }
      await Task.yield()
      now.withLock { $0.current -= 1 }
      return .json([:])
    }
    let http = try HTTPClient(.init(proxies: .none))
    let budget = UploadBudget(3)
    func arrived(cancelling: Bool) async -> Int {
      await withTaskGroup(of: Bool.self) { group in
        for number in 0..<100 {
          group.addTask {
            var request = HTTPRequest(.post, "http://127.0.0.1:\(server.port)/\(number)")
            request.concurrency = budget
            return (try? await http.send(request, on: .bulk)) != nil
          }
        }
        if cancelling {
          _ = await group.next()
          group.cancelAll()
        }
        return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
      }
    }
    #expect(await arrived(cancelling: false) == 100)
    #expect(await arrived(cancelling: true) < 100)
    #expect(now.withLock { $0.most } <= 3)
    // Those that were cancelled have ended by then.
    await http.shutdown()
    await server.stop()
    let places = (0..<4).map { _ in budget.enter() != nil }
    #expect(places == [true, true, true, false])
  }
}
