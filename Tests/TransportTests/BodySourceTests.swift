import HTTPServer
import Support
import TestSupport
import Testing

@testable import Transport

@Suite("Bodies that are made while they are sent", .timeLimit(.minutes(1)))
struct BodySourceTests {
  /// Makes bytes in pieces of some size, and does what a test wants before each.
  final class Source: BodySource {
    let bytes: [UInt8]
    let pieceSize: Int
    let before: @Sendable (Int) throws -> Void
    let offsets = Guarded<[Int]>([])
    let released: Latch<Void>

    init(
      _ count: Int, pieceSize: Int, released: Latch<Void> = Latch(),
      before: @escaping @Sendable (Int) throws -> Void = { _ in }
    ) {
      var bytes = (0..<65_537).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
      while bytes.count < count { bytes += bytes }
      self.bytes = Array(bytes[..<count])
      self.pieceSize = pieceSize
      self.released = released
      self.before = before
    }

    deinit { released.open(with: ()) }

    func read(at offset: Int) throws -> [UInt8] {
      offsets.withLock { $0.append(offset) }
      try before(offset)
      return Array(bytes[min(offset, bytes.count)...].prefix(pieceSize))
    }
  }

  struct Broken: Error, CustomStringConvertible {
    var description: String { "the source is broken" }
  }

  let client: HTTPClient

  init() throws { client = try HTTPClient(.init(proxies: .none)) }

  private func request(_ port: Int, _ source: Source, length: Int? = nil) -> HTTPRequest {
    let content = Part.Content.made(length: length ?? source.bytes.count, by: source)
    return HTTPRequest(
      .post, "http://127.0.0.1:\(port)/", body: .multipart([Part(name: "file", filename: "f", content: content)]))
  }

  /// What is in the one part of a form.
  static func content(_ request: ScriptedConnection.Request) -> [UInt8] {
    let start = request.body.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound ?? 0
    let boundary = request.header("content-type")?.split(separator: "=").last ?? ""
    return Array(request.body[start...].dropLast("\r\n--\(boundary)--\r\n".utf8.count))
  }

  @Test(
    "pieces of any size arrive whole and in order",
    arguments: [
      (1, 1), (10, 3), (1000, 1), (65_536, 65_536), (65_537, 65_536), (1_000_000, 70_001), (3_000_000, 1 << 20),
    ])
  func pieces(count: Int, pieceSize: Int) async throws {
    let server = try ScriptedServer { connection in
      try connection.respond(body: Digest.sha256(Self.content(try connection.readRequest())))
    }
    let source = Source(count, pieceSize: pieceSize)
    let answer = try await client.send(request(server.port, source), on: .bulk)
    #expect(answer.body == Digest.sha256(source.bytes))
    #expect(source.offsets.withLock { $0 } == Array(stride(from: 0, to: count, by: pieceSize)), "each but once")
  }

  @Test("nothing is asked of a source of nothing")
  func empty() async throws {
    let server = try ScriptedServer { connection in
      try connection.respond(body: Self.content(try connection.readRequest()))
    }
    let source = Source(0, pieceSize: 1)
    #expect(try await client.send(request(server.port, source), on: .bulk).body == [])
    #expect(source.offsets.withLock { $0 } == [])
  }

  @Test(
    "a source that ends too early, or does not end, fails the request",
    arguments: [(1000, 1001), (1000, 999), (1_000_000, 1_000_001), (1_000_000, 999_999), (0, 1)])
  func length(count: Int, length: Int) async throws {
    let server = try ScriptedServer { $0.drain() }
    let source = Source(count, pieceSize: 300_000)
    let error = await #expect(throws: TransportError.self) {
      try await client.send(request(server.port, source, length: length), on: .bulk)
    }
    #expect(error?.code == .file)
    #expect(error?.message.contains(length > count ? "too few bytes" : "too many bytes") == true)
  }

  @Test("a source that fails, at once or in the middle, fails the request", arguments: [0, 500_000])
  func failure(place: Int) async throws {
    let ended = EventCounter()
    let server = try ScriptedServer { connection in
      connection.drain()
      ended.increment()
    }
    let source = Source(1_000_000, pieceSize: 100_000) { if $0 >= place { throw Broken() } }
    let error = await #expect(throws: TransportError.self) {
      try await client.send(request(server.port, source), on: .bulk)
    }
    #expect(error == TransportError(.file, "the source is broken"))
    // The server is not left with a body that will not end.
    try await ended.reach(1)
  }

  @Test("one piece is made ahead of what is sent")
  func ahead() throws {
    let source = Source(10_000, pieceSize: 1000)
    let body = try #require(try RequestBody(.multipart([Part(name: "a", content: .made(length: 10_000, by: source))])))
    var demands: [BodyReader.Demand] = []
    let reader = BodyReader(body) { demands.append($0) }
    var buffer = [UInt8](repeating: 0, count: 500)
    for _ in 0..<10 {
      _ = try buffer.withUnsafeMutableBytes { try reader.read(into: $0) }
      guard let demand = demands.popLast() else { continue }
      #expect(demands.isEmpty && reader.supply(demand.number, demand.meet()))
    }
    // 4500 bytes at most have been sent.
    #expect(source.offsets.withLock { $0.count } <= 6)
  }

  @Test("a request that is sent again on another connection begins anew")
  func again() async throws {
    let requests = Guarded(0)
    let server = try ScriptedServer { connection in
      while true {
        let number = requests.withLock { requests in
          requests += 1
          return requests
        }
        let request = try connection.readRequest()
        // The second one gets no answer; libcurl sends it again.
        if number == 2 { return }
        try connection.respond(body: Digest.sha256(Self.content(request)))
      }
    }
    var begun = 0
    for _ in 0..<2 {
      let source = Source(1_000_000, pieceSize: 100_000)
      let answer = try await client.send(request(server.port, source), on: .bulk)
      #expect(answer.body == Digest.sha256(source.bytes))
      begun += source.offsets.withLock { $0.count { $0 == 0 } }
    }
    #expect(server.accepted.count == 2 && begun == 3)
  }

  @Test("a cancelled request ends at once and lets go of its source", arguments: [false, true])
  func cancel(isSourceStuck: Bool) async throws {
    let asked = EventCounter()
    let released = Latch<Void>()
    let gate = Signalled(false)
    // Nobody reads: the sockets take a few megabytes.
    let server = try ScriptedServer { _ in gate.wait(until: { $0 }, then: { _ in }) }
    let task = Task {
      let source = Source(64 << 20, pieceSize: 64 << 10, released: released) { offset in
        asked.increment()
        if isSourceStuck, offset > 0 { gate.wait(until: { $0 }, then: { _ in }) }
      }
      return try await client.send(request(server.port, source), on: .bulk)
    }
    try await asked.reach(2)
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    gate.change { $0 = true }
    try await released.reached()
    server.stop()
  }

  @Test("a part of it can be asked for again")
  func rewind() throws {
    let source = Source(500_000, pieceSize: 70_000)
    let parts = [Part(name: "a", content: .made(length: 500_000, by: source)), Part(name: "b", content: .bytes([1]))]
    let body = try #require(try RequestBody(.multipart(parts)))
    var demands: [BodyReader.Demand] = []
    let reader = BodyReader(body) { demands.append($0) }
    func read(_ limit: Int = .max) throws -> [UInt8] {
      var all: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 10_000)
      while all.count < limit {
        switch try buffer.withUnsafeMutableBytes({ try reader.read(into: $0) }) {
        case .copied(let count): all += buffer[..<count]
        case .wait:
          let demand = demands.removeLast()
          #expect(reader.supply(demand.number, demand.meet()))
          #expect(!reader.supply(demand.number, demand.meet()), "an answer counts once")
        case .end: return all
        }
      }
      return all
    }
    let first = try read()
    #expect(first.count == body.length)
    for position in [0, 1, 60, 70_000, 499_000, body.length] {
      reader.seek(to: 0)
      demands = []
      _ = try read(200_000)
      // What was asked for before is not wanted any more.
      let old = demands
      reader.seek(to: position)
      for demand in old { #expect(!reader.supply(demand.number, demand.meet())) }
      #expect(try read() == Array(first[position...]))
    }
  }
}
