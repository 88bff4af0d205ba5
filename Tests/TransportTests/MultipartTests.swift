import Glibc
import HTTPServer
import Support
import SystemPackage
import TestSupport
import Testing

@testable import Transport

typealias Part = Transport.MultipartPart

@Suite(.timeLimit(.minutes(1)))
struct MultipartTests {
  let client: HTTPClient
  let folder: TemporaryFolder

  init() throws {
    client = try HTTPClient(.init(proxies: .none))
    folder = try TemporaryFolder()
  }

  private func file(_ bytes: [UInt8], _ name: String = "file") throws -> FilePath {
    let path = folder.path.appending(name)
    let descriptor = try FileDescriptor.open(
      path, .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
    try descriptor.closeAfter { _ = try descriptor.writeAll(bytes) }
    return path
  }

  /// Sends `parts` to a server that answers with the body it got, and returns that and its boundary.
  private func send(_ parts: [Part]) async throws -> (body: String, boundary: String) {
    let server = try ScriptedServer { connection in
      let request = try connection.readRequest()
      let type = request.header("content-type") ?? ""
      try connection.respond(body: Array("\(type)\n".utf8) + request.body)
    }
    let answer = try await client.send(
      HTTPRequest(.post, "http://127.0.0.1:\(server.port)/", body: .multipart(parts)), on: .bulk)
    let text = String(decoding: answer.body, as: UTF8.self)
    let lines = text.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
    let prefix = "multipart/form-data; boundary="
    #expect(lines[0].hasPrefix(prefix))
    return (String(lines[1]), String(lines[0].dropFirst(prefix.count)))
  }

  @Test func formOfFieldsAndFiles() async throws {
    let path = try file(Array("content".utf8))
    let (body, boundary) = try await send([
      Part(name: "file", filename: "a.png", contentType: "image/png", content: .file(path)),
      Part(name: "image", content: .bytes(Array("1".utf8))),
      Part(name: "empty", filename: "", content: .bytes([])),
    ])
    #expect(
      body == """
        --\(boundary)\r
        Content-Disposition: form-data; name="file"; filename="a.png"\r
        Content-Type: image/png\r
        \r
        content\r
        --\(boundary)\r
        Content-Disposition: form-data; name="image"\r
        \r
        1\r
        --\(boundary)\r
        Content-Disposition: form-data; name="empty"; filename=""\r
        \r
        \r
        --\(boundary)--\r

        """)
  }

  @Test func noParts() async throws {
    let (body, boundary) = try await send([])
    #expect(body == "--\(boundary)--\r\n")
  }

  @Test(arguments: [
    ("a\"b", "a%22b"), ("a\nb\rc\r\nd", "a%0Ab%0Dc%0D%0Ad"), ("ünïcødé 漢字.txt", "ünïcødé 漢字.txt"),
    ("back\\slash\\", "back\\slash\\"), ("semi;colon; name=x", "semi;colon; name=x"), ("100%22", "100%22"),
    (String(repeating: "n", count: 255), String(repeating: "n", count: 255)),
  ])
  func fileNames(name: String, written: String) async throws {
    let (body, _) = try await send([Part(name: "file", filename: name, content: .bytes([]))])
    #expect(body.contains("; name=\"file\"; filename=\"\(written)\"\r\n"))
  }

  @Test func arrivesAtAProperServer() async throws {
    let server = try await WebServer.start(port: 0) { request in
      var reader = try MultipartReader(request)
      var parts: [String] = []
      while let part = try await reader.nextPart() {
        let content = try await reader.collect()
        parts.append("\(part.name)|\(part.filename ?? "-")|\(content.count)")
      }
      return .text(parts.joined(separator: ","))
    }
    let path = try file([UInt8](repeating: 7, count: 1_000_000))
    let answer = try await client.send(
      HTTPRequest(
        .post, "http://127.0.0.1:\(server.port)/",
        body: .multipart([
          Part(name: "md5", content: .bytes(Array("0".utf8))),
          Part(name: "file", filename: "é;\"", content: .file(path)),
        ])), on: .bulk)
    #expect(String(decoding: answer.body, as: UTF8.self) == "md5|-|1,file|é;%22|1000000")
    await server.stop()
  }

  @Test func aFileOfEverySizeArrivesWhole() async throws {
    let server = try ScriptedServer { connection in
      while true {
        let request = try connection.readRequest()
        let end = request.body.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound ?? 0
        let boundary = request.header("content-type")?.split(separator: "=").last ?? ""
        let content = request.body[end...].dropLast("\r\n--\(boundary)--\r\n".utf8.count)
        try connection.respond(body: Digest.sha256(content))
      }
    }
    let kilo = 1 << 10
    let pattern = (0..<65_537).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    for size in [
      0, 1, 64 * kilo - 1, 64 * kilo, 64 * kilo + 1, 256 * kilo, 320 * kilo, 320 * kilo + 1, 3000 * kilo + 7,
    ] {
      var content = pattern
      while content.count < size { content += content }
      content.removeLast(content.count - size)
      let path = try file(content)
      let answer = try await client.send(
        HTTPRequest(
          .post, "http://127.0.0.1:\(server.port)/",
          body: .multipart([Part(name: "file", filename: "f", content: .file(path))])), on: .bulk)
      #expect(answer.body == Digest.sha256(content), "\(size) bytes")
    }
    #expect(server.accepted.count == 1)
  }

  @Test func aLargeFileArrivesWhole() async throws {
    let size = 200 << 20
    let path = try file([])
    try #require(truncate(path.string, size) == 0)
    let server = try ScriptedServer { connection in
      let request = try connection.readRequest(keepingBody: false)
      try connection.respond(body: Array((request.header("content-length") ?? "").utf8))
    }
    let body = HTTPRequest.Body.multipart([Part(name: "file", filename: "big", content: .file(path))])
    let answer = try await client.send(HTTPRequest(.post, "http://127.0.0.1:\(server.port)/", body: body), on: .bulk)
    #expect((Int(String(decoding: answer.body, as: UTF8.self)) ?? 0) > size)
  }

  @Test func aFileLargerThanMemoryIsStreamed() async throws {
    let size = 1 << 40
    let path = try file([])
    try #require(truncate(path.string, size) == 0)
    let error = try await failure(path) { connection in
      for _ in 0..<50 { _ = try connection.read(1 << 20) }
      connection.reset()
    }
    #expect(error.code == .closed)
  }

  @Test(
    .enabled(if: access("/dev/shm", W_OK) == 0, "there is no file system for such a file"),
    arguments: [Int.max, Int.max - 5, (1 << 60) + 1])
  func aFileThatClaimsToHaveAnyNumberOfBytesIsRefused(size: Int) async throws {
    let folder = try TemporaryFolder(in: "/dev/shm")
    let path = folder.path.appending("sparse")
    try Files.replace(path, with: [])
    try #require(truncate(path.string, size) == 0)
    let error = try await failure(path)
    #expect(error.code == .file && error.message.contains("more than 2^60"), "\(error)")
  }

  // MARK: Files that cannot be sent

  private func failure(
    _ path: FilePath, _ script: @escaping @Sendable (ScriptedConnection) throws -> Void = { $0.drain() }
  ) async throws -> TransportError {
    let server = try ScriptedServer(script)
    let body = HTTPRequest.Body.multipart([Part(name: "file", filename: "f", content: .file(path))])
    let error = await #expect(throws: TransportError.self) {
      try await client.send(HTTPRequest(.post, "http://127.0.0.1:\(server.port)/", body: body), on: .bulk)
    }
    return try #require(error)
  }

  @Test func noFile() async throws {
    let path = folder.path.appending("missing")
    let error = try await failure(path)
    #expect(error.code == .file)
    #expect(error.message.contains(path.string))
  }

  @Test func notAPlainFile() async throws {
    #expect(try await failure(folder.path).code == .file)
    let pipe = folder.path.appending("pipe")
    try #require(mkfifo(pipe.string, 0o600) == 0)
    #expect(try await failure(pipe).code == .file)
  }

  @Test func aFileThatShrinks() async throws {
    let path = try file([UInt8](repeating: 1, count: 20 << 20))
    let error = try await failure(path) { connection in
      _ = try connection.read(100)
      truncate(path.string, 1000)
      connection.drain()
    }
    #expect(error.code == .file)
    #expect(error.message.contains(path.string))
  }

  @Test func aFileThatIsReplaced() async throws {
    let path = try file([UInt8](repeating: 1, count: 20 << 20))
    let source = try SourceFile(path)
    rename(try file([UInt8](repeating: 2, count: 20 << 20), "other").string, path.string)
    let error = #expect(throws: TransportError.self) { try source.read(at: 100_000, count: 10) }
    #expect(error?.code == .file)
  }

  @Test func whatIsAppendedIsNotSent() async throws {
    let path = try file([UInt8](repeating: UInt8(ascii: "a"), count: 200_000))
    let source = try SourceFile(path)
    let descriptor = try FileDescriptor.open(path, .writeOnly, options: .append)
    try descriptor.closeAfter { _ = try descriptor.writeAll([UInt8](repeating: UInt8(ascii: "b"), count: 1000)) }
    #expect(source.length == 200_000)
    #expect(try source.read(at: 199_990, count: 100).count == 10)
  }

  @Test func aFullRewindSendsTheSameAgain() throws {
    let path = try file([UInt8](repeating: 5, count: 500_000))
    let body = try #require(
      try RequestBody(.multipart([Part(name: "file", filename: "f", content: .file(path))])))
    var demands: [BodyReader.Demand] = []
    let reader = BodyReader(body) { demands.append($0) }
    func readAll() throws -> [UInt8] {
      var all: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 10_000)
      while true {
        switch try buffer.withUnsafeMutableBytes({ try reader.read(into: $0) }) {
        case .copied(let count): all += buffer[..<count]
        case .wait:
          let demand = demands.removeLast()
          #expect(reader.supply(demand.number, demand.meet()))
        case .end: return all
        }
      }
    }
    let first = try readAll()
    #expect(first.count == body.length)
    for position in [0, 1, 60, 70_000, 499_000, body.length] {
      reader.seek(to: position)
      #expect(try readAll() == Array(first[position...]))
    }
  }
}
