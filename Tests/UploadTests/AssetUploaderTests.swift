import Configuration
import Glibc
import HTTPServer
import LocalWebUI
import Logging
import Support
import SystemPackage
import TestSupport
import Testing
import Transport
import Upload
import WebUIClient

@Suite("Assets", .timeLimit(.minutes(1)))
struct AssetUploaderTests {
  /// So many bytes, no two chunks of them the same.
  static func content(_ count: Int, seed: Int = 0) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 3 &+ seed) }
  }

  static let unavailable = FaultProxy.Fault.answer(
    Array("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".utf8))

  static func answer(_ text: String) -> FaultProxy.Fault {
    .answer(Array("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)".utf8))
  }

  @Test("chunks of any number arrive as one file", arguments: [1, 19, 20, 21, 40, 57, 400])
  func chunks(count: Int) async throws {
    try await AssetBench.run { bench in
      let requests = bench.proxy.on("POST", "/artefact", .pass)
      try bench.write("assets_public/ü b.qcow2", Self.content(count))
      try await bench.upload()
      #expect(try bench.arrived("public/ü b.qcow2") == Self.content(count))
      #expect(requests.applied.count == (count + 19) / 20)
      #expect(await bench.web.job(bench.job)?.files == ["assets/public/ü b.qcow2"])
    }
  }

  @Test("private ones first; what is no plain file is left out, of what is empty nothing is sent")
  func which() async throws {
    try await AssetBench.run { bench in
      let requests = bench.proxy.on("POST", "/artefact", .pass)
      try bench.write("assets_public/a", Self.content(30))
      try bench.write("assets_public/empty", [])
      try bench.write("assets_public/.hidden", [1])
      try bench.write("assets_public/folder/c", [1])
      try bench.write("assets_private/z", Self.content(30, seed: 1))
      try bench.write("assets_private/a", Self.content(30, seed: 2))
      try Files.symbolicLink(bench.pool.appending("assets_private/link"), to: "/etc/passwd")
      #expect(mkfifo(bench.pool.appending("assets_private/pipe").string, 0o600) == 0)
      try await bench.upload()
      let names = bench.log.lines.filter { $0.hasPrefix("Uploading") }
      #expect(names == ["Uploading a", "Uploading z", "Uploading a", "Uploading empty"])
      #expect(
        bench.log.lines.filter { $0.hasPrefix("Skipping") }
          == ["assets_private/link", "assets_private/pipe", "assets_public/folder"].map {
            "Skipping \(bench.pool.appending($0)): no plain file"
          })
      #expect(requests.applied.count == 6)
      #expect(try bench.arrived("private/a") == Self.content(30, seed: 2))
      #expect(try bench.arrived("public/a") == Self.content(30))
      #expect(await bench.web.job(bench.job)?.files == ["assets/private/a", "assets/private/z", "assets/public/a"])
    }
  }

  @Test("what is read in several pieces, and holes", arguments: [131_071, 131_072, 131_073, 700_000])
  func pieces(chunkSize: Int) async throws {
    try await AssetBench.run { bench in
      var content = Self.content(1_500_000)
      for place in 300_000..<800_000 { content[place] = 0 }
      try bench.write("assets_public/x", Array(content[..<300_000]))
      let file = try FileDescriptor.open(bench.pool.appending("assets_public/x"), .writeOnly)
      try file.closeAfter { _ = try file.writeAll(toAbsoluteOffset: 800_000, content[800_000...]) }
      try bench.write("assets_public/y", [1])
      #expect(truncate(bench.pool.appending("assets_public/y").string, 300_000) == 0)
      try await bench.upload(chunkSize: chunkSize)
      #expect(try bench.arrived("public/x") == content)
      #expect(try bench.arrived("public/y") == [1] + [UInt8](repeating: 0, count: 299_999))
    }
  }

  @Test("a name that is no UTF-8")
  func latin() async throws {
    try await AssetBench.run { bench in
      let name = FilePath(platformString: [0x62, CChar(bitPattern: 0xfc), 0])
      try Files.makeDirectory(bench.pool.appending("assets_public"))
      try Files.replace(bench.pool.appending("assets_public").appending(name.components), with: Self.content(30))
      try await bench.upload()
      #expect(try bench.arrived("public/bü") == Self.content(30))
    }
  }

  @Test(
    "the answer to the last chunk is lost: the web UI has the asset, and would never take it again",
    arguments: ["public", "private"], [57, 15])
  func lostAnswer(scope: String, size: Int) async throws {
    try await AssetBench.run { bench in
      let last = (size + 19) / 20
      let requests = bench.proxy.on("POST", "/artefact", occurrences: last...last, .reset(afterBytes: 5))
      try bench.write("assets_\(scope)/x", Self.content(size))
      try await bench.upload()
      #expect(requests.applied.count == 1)
      #expect(try bench.arrived("\(scope)/x") == Self.content(size))
      #expect(bench.log.lines.contains { $0.hasPrefix("x: the web UI has it, only the answer was lost") })
    }
  }

  @Test("the same, and the web UI cannot be asked for it at first: once it can, that is the end")
  func lostAnswers() async throws {
    try await AssetBench.run { bench in
      bench.proxy.on("POST", "/artefact", occurrences: 3...3, .reset(afterBytes: 5))
      let missing = "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"
      bench.proxy.on("GET", "/api/v1/jobs/", occurrences: 1...1, .answer(Array(missing.utf8)))
      try bench.write("assets_public/x", Self.content(57))
      try await bench.upload()
      #expect(try bench.arrived("public/x") == Self.content(57))
      #expect(bench.log.lines.contains { $0.hasPrefix("x: last chunk refused, uploading it from the beginning: 500") })
      let lines = bench.log.lines
      #expect(lines.contains { $0.hasPrefix("x: the web UI has it, only the answer was lost (502") }, "\(lines)")
    }
  }

  @Test("an asset of a name that the job was given is not taken for one that has arrived")
  func input() async throws {
    try await AssetBench.run { bench in
      bench.proxy.on("POST", "/artefact", occurrences: 3...3, .reset(afterBytes: 5))
      try bench.write("assets_public/x", Self.content(57))
      await #expect(throws: UploadError.self) { try await bench.upload(inputs: ["x"]) }
    }
  }

  @Test("a last chunk that is refused for good is no reason to begin again and again")
  func refusedLastChunk() async throws {
    try await AssetBench.run { bench in
      let refused = "HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}"
      // The last chunk, and then the first one of the second time.
      let requests = bench.proxy.on("POST", "/artefact", occurrences: 3...100, .answer(Array(refused.utf8)))
      try bench.write("assets_public/x", Self.content(57))
      await #expect(throws: UploadError.self) { try await bench.upload() }
      #expect(requests.applied.count == 4, "once, and then the tries of its first chunk")
    }
  }

  @Test("a pool without assets")
  func none() async throws {
    try await AssetBench.run { bench in
      try await bench.upload()
      #expect(bench.proxy.requests.count == 0)
    }
  }

  @Test("a web UI on this host takes the path of a file that all may read")
  func local() async throws {
    try await AssetBench.run { bench in
      let requests = bench.proxy.on("POST", "/artefact", .pass)
      try bench.write("assets_private/x", Self.content(57))
      let path = bench.pool.appending("assets_private/x")
      #expect(chmod(path.string, 0o600) == 0)
      try await bench.upload(isLocal: true)
      #expect(try bench.arrived("private/x") == Self.content(57))
      #expect(requests.applied.count == 1)
      var status = stat()
      #expect(stat(path.string, &status) == 0 && status.st_mode & 0o777 == 0o644)
    }
  }

  @Test(
    "what does not arrive is sent again",
    arguments: [
      ("503", unavailable), ("another status", answer(#"{"status":"nok"}"#)), ("no JSON", answer("OK")),
      ("no status", answer(#"{"error":"Failed receiving asset"}"#)), ("no object", answer("null")),
      ("reset in mid-chunk", .refuse), ("an answer that is cut", .cut(afterBytes: 30)),
      ("an answer that is lost", .reset(afterBytes: 10)),
    ])
  func again(name: String, fault: FaultProxy.Fault) async throws {
    try await AssetBench.run { bench in
      let content = Self.content(500_000)
      let faults = bench.proxy.on("POST", "/artefact", occurrences: 2...3, fault)
      try bench.write("assets_public/x", content)
      try await bench.upload(chunkSize: 200_000)
      #expect(try bench.arrived("public/x") == content)
      #expect(faults.applied.count == 2)
      // A kept connection that breaks before its answer is tried again by the transport itself.
      let waits = bench.clock.waits.withLock { $0 }
      let isByTransport = ["reset in mid-chunk", "an answer that is lost"].contains(name)
      #expect(waits == [.seconds(5.25), .seconds(6.25)] || isByTransport && waits == [.seconds(5.25)])
    }
  }

  @Test("for good: the web UI is told to forget it, and the next asset is not begun", arguments: [false, true])
  func forGood(isLocal: Bool) async throws {
    try await AssetBench.run { bench in
      if !isLocal { bench.proxy.on("POST", "/artefact", occurrences: 1...1, .pass) }
      let faults = bench.proxy.on("POST", "/artefact", Self.unavailable)
      let states = bench.proxy.on("POST", "/upload_state", .pass)
      try bench.write("assets_private/ü &.img", Self.content(57))
      try bench.write("assets_public/next", Self.content(57))
      let what = isLocal ? "its path" : "chunk 2/3"
      let expected = UploadError(.asset, "Error uploading ü &.img, \(what): 503 response: Service Unavailable")
      await #expect(throws: expected) { try await bench.upload(isLocal: isLocal) }
      #expect(faults.applied.count == 3 && states.applied.count == 1)
      #expect(bench.log.lines.contains(expected.description) && !bench.log.lines.contains("Uploading next"))
      if !isLocal { #expect(try Files.names(in: bench.home.appending("assets")) == ["private"], "nothing is left") }
    }
  }

  @Test("waits grow up to half a minute")
  func waits() async throws {
    try await AssetBench.run { bench in
      bench.proxy.on("POST", "/artefact", Self.unavailable)
      try bench.write("assets_public/x", [1])
      await #expect(throws: UploadError.self) { try await bench.upload(tries: 28) }
      let expected: [Duration] = (0..<25).map { .seconds(5.25) + .seconds($0) } + [.seconds(30), .seconds(30)]
      #expect(bench.clock.waits.withLock { $0 } == expected)
    }
  }

  enum Change: CaseIterable { case longer, shorter, rewritten, replaced, gone, link }

  @Test("an asset that changes while it is uploaded", arguments: Change.allCases)
  func changing(change: Change) async throws {
    try await AssetBench.run { bench in
      let states = bench.proxy.on("POST", "/upload_state", .pass)
      bench.proxy.on("POST", "/artefact", occurrences: 1...1, Self.unavailable)
      try bench.write("assets_public/x", Self.content(100))
      let path = bench.pool.appending("assets_public/x")
      let moved = bench.pool.appending("moved")
      // While the first chunk waits for its second try.
      bench.clock.onWait.withLock {
        $0 = { _ in
          switch change {
          case .longer: try Files.append([1], to: path)
          case .shorter: #expect(truncate(path.string, 30) == 0)
          case .rewritten:
            let file = try FileDescriptor.open(path, .writeOnly)
            try file.closeAfter { _ = try file.writeAll([UInt8](repeating: 9, count: 100)) }
          case .replaced: try Files.replace(path, with: Self.content(100))
          case .gone: try Files.remove(path)
          case .link:
            try Files.move(path, to: moved)
            try Files.symbolicLink(path, to: "../moved")
          }
        }
      }
      let error = await #expect(throws: UploadError.self) { try await bench.upload() }
      #expect(error?.code == .asset && error?.description.hasPrefix("Error uploading x: ") == true)
      #expect(error?.description.hasSuffix(": it changed while it was uploaded") == true)
      #expect(states.applied.count == 1)
      #expect(await bench.web.job(bench.job)?.files == [])
    }
  }

  @Test("cancelled in mid-chunk, or between two tries", arguments: [false, true])
  func cancel(isWaiting: Bool) async throws {
    try await AssetBench.run { bench in
      let reached = Latch<Void>()
      let rule = bench.proxy.on("POST", "/artefact", occurrences: 2...2, isWaiting ? Self.unavailable : .hold)
      let states = bench.proxy.on("POST", "/upload_state", .pass)
      bench.clock.onWait.withLock {
        $0 = { _ in
          reached.open(with: ())
          try await Task.sleep(for: .seconds(3600))
        }
      }
      try bench.write("assets_public/x", Self.content(3_000_000))
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await bench.upload(chunkSize: 1_000_000) }
        if isWaiting { try await reached.reached() } else { try await rule.applied.reach(1) }
        group.cancelAll()
        await #expect(throws: CancellationError.self) { try await group.waitForAll() }
      }
      #expect(states.applied.count == 0)
    }
  }

  @Test("a line tells how far a large asset is")
  func progress() async throws {
    try await AssetBench.run { bench in
      let rule = bench.proxy.on("POST", "/artefact", occurrences: 3...3, .hold)
      let periods = Guarded(0)
      let told = Latch<Void>()
      bench.clock.onProgress.withLock {
        $0 = {
          let period = periods.withLock { periods in
            periods += 1
            return periods
          }
          if period == 1 { return try await rule.applied.reach(1) }
          told.open(with: ())
          try await Task.sleep(for: .seconds(3600))
        }
      }
      try bench.write("assets_public/x", Self.content(250_000))
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await bench.upload(chunkSize: 100_000) }
        try await told.reached()
        group.cancelAll()
        await #expect(throws: CancellationError.self) { try await group.waitForAll() }
      }
      #expect(bench.log.lines.contains("x: 200000 of 250000 bytes uploaded, 20 kB/s"))
    }
  }

  @Test(
    "an asset that claims to have any number of bytes is refused",
    .enabled(if: access("/dev/shm", W_OK) == 0, "there is no file system for such a file"))
  func claimedSize() async throws {
    let folder = try TemporaryFolder(in: "/dev/shm")
    let path = folder.path.appending("assets_public/sparse.img")
    try Files.makeDirectory(path.removingLastComponent())
    try Files.replace(path, with: [])
    #expect(truncate(path.string, .max) == 0)
    let http = try HTTPClient()
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let client = WebUIClient(
      try WebUIAddress("http://127.0.0.1:1"), credentials: nil, http: http,
      retry: Settings.Retry(tries: 1, delay: .zero),
      logger: logger)
    let uploader = AssetUploader(
      job: 1, client: client, pool: folder.path, lane: try IOLane(name: "pool"), options: .init(), logger: logger)
    let error = await #expect(throws: UploadError.self) { try await uploader.upload() }
    #expect(error?.description.contains("9223372036854775807 bytes can be no asset's real size") == true)
    await http.shutdown()
  }

  @Test(
    "a large asset needs next to no memory", .timeLimit(.minutes(5)),
    .disabled(if: isSanitized, "a sanitizer's own memory would be counted, too"))
  func memory() async throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("assets_public/sparse.img")
    try Files.makeDirectory(path.removingLastComponent())
    try Files.replace(path, with: [1])
    let size = 200_000_000
    #expect(truncate(path.string, off_t(size)) == 0)
    let received = Guarded(0)
    let server = try await WebServer.start { request in
      for try await chunk in request.body { received.withLock { $0 += chunk.count } }
      return .json(["status": "ok"])
    }
    let http = try HTTPClient()
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let client = WebUIClient(
      try WebUIAddress("http://127.0.0.1:\(server.port)"), credentials: nil, http: http, retry: Settings.Retry(),
      logger: logger)
    let uploader = AssetUploader(
      job: 1, client: client, pool: folder.path, lane: try IOLane(name: "pool"), options: AssetUploader.Options(),
      logger: logger)
    // The highest amount of memory is counted anew from here.
    try Files.append("5".utf8, to: "/proc/self/clear_refs")
    let before = try Self.peakMemory()
    try await uploader.upload()
    let growth = try Self.peakMemory() - before
    await http.shutdown()
    await server.stop()
    #expect(received.withLock { $0 } > 2 * size)
    #expect(growth < 20_000_000, "\(growth) bytes more")
  }

  /// The most memory that this process has had, in bytes.
  static func peakMemory() throws -> Int {
    let descriptor = try FileDescriptor.open("/proc/self/status", .readOnly)
    let text = try descriptor.closeAfter {
      try [UInt8](unsafeUninitializedCapacity: 1 << 14) { buffer, count in
        count = try descriptor.read(into: UnsafeMutableRawBufferPointer(buffer))
      }
    }
    let line = String(decoding: text, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return try #require(line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }) * 1024
  }
}
