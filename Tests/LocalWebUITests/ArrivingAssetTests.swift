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
    try await LocalServerTests().run { bench in
      _ = try await bench.post("workers?\(LocalServerTests.worker)")
      let socket = try await WebSocketClient().connect(WebSocketRequest("\(bench.web.url)/api/v1/ws/1"))
      try await socket.send(#"{"type":"worker_status","status":"free"}"#)
      _ = await bench.web.schedule(["TEST": "t", "WORKER_CLASS": "a"])
      for await message in socket.messages where message.contains("grab_job") { break }
      try await body(bench)
      await socket.close()
    }
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

  @Test("damage is answered with 500 and a reason")
  func damage() async throws {
    try await run { bench in
      func post(_ image: [UInt8], _ reason: String) async throws {
        let answer = try await bench.post("jobs/1/artefact", Self.form(image))
        #expect(answer.status == 500)
        #expect(answer.json?["error"]?.string?.contains(reason) == true, "\(answer)")
      }
      try await post([], "not an image")
      try await post(Array(Self.chunk(1).image.dropLast()), "cut")
      try await post(Self.chunk(2).image, "bytes before it are missing")
      var damaged = Self.chunk(1)
      damaged.content[3] ^= 1
      try await post(damaged.image, "not what its sum says")
      _ = try await bench.post("jobs/1/artefact", Self.form(Self.chunk(1, sum: [1]).image))
      try await post(Self.chunk(2, sum: [1]).image, "Checksum mismatch")
      #expect(try Files.names(in: bench.folder.path.appending("1/assets")) == ["public"])
      #expect(try Files.names(in: bench.folder.path.appending("1/assets/public")) == [])
      #expect(await bench.web.job(1)?.files == [])
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
      #expect(try await post("filename=..&scope=public&state=fail") == 400)
      #expect(try await post("filename=x&scope=../..&state=fail") == 400)
      #expect(try await bench.post("jobs/1/upload_state", json: ["state": "fail"]).status == 400)
    }
  }

  @Test("a scope that there is not")
  func scope() async throws {
    try await run { bench in
      let answer = try await bench.post("jobs/1/artefact", Self.form(Self.chunk(1).image, scope: "../x"))
      #expect(answer.status == 400)
    }
  }
}
