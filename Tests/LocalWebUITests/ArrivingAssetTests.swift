import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

@Suite("Assets that arrive at the embedded web UI", .timeLimit(.minutes(1)))
struct ArrivingAssetTests {
  static let source = Array("the whole asset".utf8)

  static func chunk(_ index: Int64, sum: [UInt8] = Digest.sha256(source)) -> StorableChunk {
    let start = Int(index - 1) * 8
    let content = Array(source[start..<min(start + 8, source.count)])
    return StorableChunk(
      index: index, total: 2, start: Int64(start), totalDigest: sum, content: content, file: "/x")
  }

  static func form(_ image: [UInt8], scope: String = "public", name: String = "x", local: String? = nil)
    -> HTTPRequest.Body
  {
    var parts = [
      MultipartPart(name: "file", filename: name, content: .bytes(image)),
      MultipartPart(name: "asset", content: .bytes(Array(scope.utf8))),
    ]
    if let local { parts.append(MultipartPart(name: "local", content: .bytes(Array(local.utf8)))) }
    return .multipart(parts)
  }

  /// A web UI whose job 1 is a worker's, and what is sent to it.
  func run(_ body: @Sendable (LocalServerTests.Bench) async throws -> Void) async throws {
    try await LocalServerTests().runWithJob { bench, _ in try await body(bench) }
  }

  @Test("chunks make the asset, also when one comes twice")
  func chunks() async throws {
    try await run { bench in
      for index in [1, 1, 2] as [Int64] {
        let answer = try await bench.post("jobs/1/artefact", Self.form(Self.chunk(index).image))
        #expect(answer.status == 200 && answer.json == ["status": "ok"])
        #expect(await bench.web.job(1)?.files.isEmpty == (index == 1))
      }
      #expect(try Files.read(bench.folder.path.appending("1/assets/public/x")) == Self.source)
    }
  }

  @Test("refuses damaged chunks with openQA's texts, and throws away what it cannot complete")
  func damage() async throws {
    try await run { bench in
      func post(_ image: [UInt8], _ reason: String) async throws {
        let answer = try await bench.post("jobs/1/artefact", Self.form(image))
        #expect(answer.status == 500)
        let text = answer.json?["error"]?.string ?? ""
        #expect(text.hasPrefix("Failed receiving asset: \(reason)"), "\(answer)")
      }
      func names() throws -> [String] { try Files.names(in: bench.folder.path.appending("1/assets")).sorted() }
      try await post([], "Magic number checking on storable string failed")
      try await post(Array(Self.chunk(1).image.dropLast()), "Can't use an undefined value as a HASH reference")
      try await post(Self.chunk(2).image, "Checksum mismatch expected ")
      #expect(try names() == ["public"], "bytes before the last chunk were missing")
      var damaged = Self.chunk(1)
      damaged.content[3] ^= 1
      try await post(damaged.image, "Can't verify written data from chunk")
      #expect(try names() == [".public-x.arriving", "public"], "the chunk can come again")
      _ = try await bench.post("jobs/1/artefact", Self.form(Self.chunk(1).image))
      damaged = Self.chunk(2)
      damaged.content[3] ^= 1
      try await post(damaged.image, "Can't verify written data from chunk")
      #expect(try names() == ["public"], "the last chunk was not intact")
      _ = try await bench.post("jobs/1/artefact", Self.form(Self.chunk(1, sum: [1]).image))
      try await post(Self.chunk(2, sum: [1]).image, "Checksum mismatch expected AQ got: ")
      #expect(try names() == ["public"])
      #expect(try Files.names(in: bench.folder.path.appending("1/assets/public")) == [])
      #expect(await bench.web.job(1)?.files == [])
    }
  }

  @Test("takes chunks in any order: the last one decides")
  func order() async throws {
    try await run { bench in
      var chunks = [1, 2].map { Self.chunk($0) }
      for index in chunks.indices { chunks[index].total = 3 }
      chunks.append(
        StorableChunk(
          index: 3, total: 3, start: 15, totalDigest: Digest.sha256(Self.source), content: [], file: "/x"))
      for chunk in [chunks[1], chunks[0], chunks[2]] {
        let answer = try await bench.post("jobs/1/artefact", Self.form(chunk.image))
        #expect(answer.json == ["status": "ok"])
      }
      #expect(try Files.read(bench.folder.path.appending("1/assets/public/x")) == Self.source)
    }
  }

  @Test("a path on this host")
  func local() async throws {
    try await run { bench in
      let path = bench.folder.path.appending("there")
      try Files.replace(path, with: Self.source)
      let answer = try await bench.post("jobs/1/artefact", Self.form([], scope: "private", local: path.string))
      #expect(answer.json == ["status": "ok"])
      #expect(try Files.read(bench.folder.path.appending("1/assets/private/x")) == Self.source)
      let missing = try await bench.post("jobs/1/artefact", Self.form([], name: "y", local: "\(path.string)/not"))
      #expect(missing.status == 500)
      let text = missing.json?["error"]?.string ?? ""
      #expect(text.hasPrefix("Failed receiving asset: Can't copy file \"\(path.string)/not\" to "), "\(text)")
    }
  }

  @Test("an upload that is given up leaves nothing")
  func givenUp() async throws {
    try await run { bench in
      let folder = bench.folder.path.appending("1/assets")
      _ = try await bench.post("jobs/1/artefact", Self.form(Self.chunk(1).image, name: "ü x"))
      #expect(try Files.names(in: folder).count == 2)
      func post(_ form: String) async throws -> Int {
        let body = HTTPRequest.Body.bytes(Array(form.utf8), contentType: "application/x-www-form-urlencoded")
        return try await bench.post("jobs/1/upload_state", body).status
      }
      #expect(try await post("filename=%C3%BC+x&scope=public&state=ok") == 200)
      #expect(try Files.names(in: folder).count == 2)
      #expect(try await post("filename=%C3%BC+x&scope=public&state=fail") == 200)
      #expect(try Files.names(in: folder) == ["public"])
      #expect(try await post("filename=..&scope=public&state=fail") == 200)
      #expect(try await post("filename=x&scope=../..&state=fail") == 200)
      let answer = try await bench.http.send(
        HTTPRequest(.post, "\(bench.web.url)/api/v1/jobs/1/upload_state?state=fail"))
      #expect(answer.status == 400)
      #expect(answer.body == Array("Erroneous parameters (filename missing, scope missing)".utf8))
    }
  }

  @Test("takes any scope but public for private")
  func scope() async throws {
    try await run { bench in
      for index in [1, 2] as [Int64] {
        let answer = try await bench.post("jobs/1/artefact", Self.form(Self.chunk(index).image, scope: "../x"))
        #expect(answer.status == 200)
      }
      #expect(await bench.web.job(1)?.files == ["assets/private/x"])
    }
  }

  @Test(
    "refuses names that lead elsewhere", arguments: ["", ".", "..", "a/b", "../x", String(repeating: "x", count: 256)])
  func names(name: String) async throws {
    try await run { bench in
      let answer = try await bench.post("jobs/1/artefact", Self.form(Self.chunk(1).image, name: name))
      #expect(answer.status == 500)
      #expect(answer.json?["error"]?.string?.hasPrefix("Failed receiving asset: Can't open file ") == true)
    }
  }
}
