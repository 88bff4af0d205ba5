import Foundation
import Testing

@testable import HTTPServer

@Suite(.timeLimit(.minutes(1)))
struct MultipartTests {
  /// Parts whose content looks like delimiters, almost.
  static let contents: [[UInt8]] = [
    Array("plain".utf8), [], Array("\r\n--boundarx\r\n--bound\r\r\n-\r\n--".utf8), Array("\r\n".utf8),
    Array("--boundary--".utf8),
    [0, 255, 13, 10, 45, 45, 13],
  ]

  static func body() -> [UInt8] {
    var body = Array("preamble".utf8)
    for (index, content) in contents.enumerated() {
      let fields =
        "Content-Disposition: form-data; name=\"part\(index)\"; filename=\"f \\\"\(index)\\\".bin\"\r\nX-A: b"
      body += Array("\r\n--boundary  \r\n\(fields)\r\n\r\n".utf8) + content
    }
    return body + Array("\r\n--boundary--\r\nepilogue".utf8)
  }

  private static func parse(_ pieces: [ArraySlice<UInt8>]) throws -> [(FormPart, [UInt8])] {
    var parser = MultipartParser(boundary: "boundary")
    var parts: [(FormPart, [UInt8])] = []
    for piece in pieces {
      for event in try parser.feed(piece) {
        switch event {
        case .begin(let part): parts.append((part, []))
        case .data(let bytes):
          #expect(!bytes.isEmpty)
          parts[parts.count - 1].1 += bytes
        case .end: break
        }
      }
    }
    #expect(parser.isComplete)
    return parts
  }

  private static func check(_ parts: [(FormPart, [UInt8])]) {
    #expect(parts.map(\.1) == contents)
    #expect(parts.map(\.0.name) == contents.indices.map { "part\($0)" })
    #expect(parts.map(\.0.filename) == contents.indices.map { "f \"\($0)\".bin" })
    #expect(parts.allSatisfy { $0.0.headers["x-a"] == "b" })
  }

  @Test func parsesEveryCutInTwo() throws {
    let body = Self.body()
    for cut in 0...body.count { Self.check(try Self.parse([body[..<cut], body[cut...]])) }
  }

  @Test func parsesPiecesOfEverySize() throws {
    let body = Self.body()
    for size in 1...80 {
      Self.check(
        try Self.parse(stride(from: 0, to: body.count, by: size).map { body[$0..<min($0 + size, body.count)] }))
    }
  }

  @Test func startsAtTheFirstByteAndTakesEmptyHeaders() throws {
    let parts = try Self.parse([ArraySlice("--boundary\r\n\r\n\r\nx\r\n--boundary--".utf8)])
    #expect(parts.map(\.1) == [Array("\r\nx".utf8)])
  }

  @Test func refusesBrokenDelimitersAndHeaders() {
    let cases: [(String, RequestError)] = [
      ("--boundaryX\r\n", .malformed("multipart delimiter")),
      ("--boundary\r\nno colon\r\n\r\n", .malformed("multipart header")),
      ("--boundary\r\nA: \(String(repeating: "b", count: 20000))", .headersTooLarge),
    ]
    for (text, error) in cases {
      #expect(throws: error) {
        var parser = MultipartParser(boundary: "boundary")
        _ = try parser.feed(text.utf8)
      }
    }
  }

  @Test func holdsBackNoMoreThanADelimiter() throws {
    var parser = MultipartParser(boundary: "boundary")
    _ = try parser.feed("--boundary\r\nA: b\r\n\r\n".utf8)
    for _ in 0..<100 {
      let events = try parser.feed([UInt8](repeating: 65, count: 1000))
      #expect(events == [.data([UInt8](repeating: 65, count: 1000))])
    }
  }

  @Test(arguments: [
    ("form-data; name=a; filename=b.txt", "a", "b.txt"),
    (#"form-data; name="a;b"; filename="C:\x\y.txt""#, "a;b", #"C:\x\y.txt"#),
    (#"form-data;NAME = "a" ; x"#, "a", nil), ("form-data", nil, nil), (#"form-data; name="open"#, "open", nil),
  ])
  func readsParameters(_ text: String, _ name: String?, _ filename: String?) {
    let parameters = HeaderParameters(text)
    #expect(parameters.value == "form-data")
    #expect(parameters["name"] == name)
    #expect(parameters["filename"] == filename)
  }

  @Test func readsUploadsOfCurl() async throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "multipart-\(UUID().uuidString)")
    try Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let handler: WebServer.Handler = { request in
      var reader = try MultipartReader(request)
      var lines = ""
      while let part = try await reader.nextPart() {
        if part.name == "skipped" { continue }
        let bytes = try await reader.collect()
        lines +=
          "\(part.name) \(part.filename ?? "-") \(bytes.count) \(bytes.reduce(0) { ($0 &* 31 &+ Int($1)) % 65521 })\n"
      }
      return .text(lines)
    }
    try await WebServer.with(handler: handler) { server in
      let output = try await run(
        "curl", "-sS", "-F", "skipped=x", "-F", "file=@\(file.path);filename=a b.png", "-F", "note=hé",
        "http://127.0.0.1:\(server.port)/")
      let sum = (0..<300_000).reduce(0) { ($0 &* 31 &+ Int(UInt8(truncatingIfNeeded: $1 &* 31))) % 65521 }
      #expect(output.hasPrefix("file a b.png 300000 \(sum)\nnote - 3 "))
      let refusal = try await run("curl", "-sS", "-d", "a=b", "http://127.0.0.1:\(server.port)/")
      #expect(refusal == "malformed request: not multipart/form-data with a boundary\n")
    }
  }

  @Test func reportsABodyWithoutAnEnd() async throws {
    let handler: WebServer.Handler = { request in
      var reader = try MultipartReader(request)
      while try await reader.nextPart() != nil {}
      return .text("ok")
    }
    try await WebServer.with(handler: handler) { server in
      try await RawClient.connect(to: server.port) { client in
        let body = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nvalue"
        try await client.send(
          "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        #expect(try await client.response().body == "malformed request: the multipart body has no end\n")
      }
    }
  }
}

/// Runs a program of the PATH and returns what it wrote.
func run(_ program: String, _ arguments: String...) async throws -> String {
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = [program] + arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  let ended = AsyncStream<Never>.makeStream()
  process.terminationHandler = { _ in ended.continuation.finish() }
  try process.run()
  for await _ in ended.stream {}
  return String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
}
