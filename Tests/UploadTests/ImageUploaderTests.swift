import HTTPServer
import Support
import SystemPackage
import Testing
import Upload

extension UploadBench {
  /// Writes a screenshot as isotovideo does.
  func capture(_ name: String, _ content: [UInt8]) throws {
    try Files.makeDirectory(pool.appending("testresults/.thumbs"))
    try Files.replace(pool.appending("testresults/\(name)"), with: content)
    try Files.replace(pool.appending("testresults/.thumbs/\(name)"), with: Picture(width: 8, height: 8).bytes)
  }

  func result(of module: String, images: [String]) throws {
    let details = images.map { "{\"screenshot\":\"\($0)\"}" }.joined(separator: ",")
    try write("testresults/result-\(module).json", "{\"result\":\"ok\",\"details\":[\(details)]}")
  }

  /// Follows the screenshots while `body` runs.
  func following(skipsOld: Bool = false, _ body: @Sendable () async throws -> Void) async throws {
    let watcher = FileWatcher { Issue.record("\($0)") }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await uploader.followScreenshots(watcher, skipsOld: skipsOld, clock: ContinuousClock()) }
      try await body()
      group.cancelAll()
    }
  }
}

@Suite("Screenshots", .timeLimit(.minutes(1)))
struct ImageUploaderTests {
  @Test("go up as they are written, smaller, before a result names them, and once")
  func eager() async throws {
    try await UploadBench.run { bench in
      let picture = Picture().bytes
      try bench.setModules(["a"])
      try await bench.following {
        try bench.capture("a-1.png", picture)
        try bench.capture("a-2.png", Picture(shade: 9).bytes)
        // The same picture under another name is no news.
        try bench.capture("a-3.png", picture)
        try await bench.web.arrivals.wait { $0 == 4 }
        #expect(bench.web.statuses.withLock { $0 } == [])
        try bench.result(of: "a", images: ["a-1.png", "a-2.png", "a-3.png"])
        try bench.setStatus(nil)
        bench.know(["a-1.png", "a-2.png"])
        try await bench.uploader.pass(isFinal: true)
      }
      #expect(bench.files.filter { $0.hasPrefix("image") }.count == 2 && bench.files.count == 4)
      let sent = try #require(
        bench.web.images.withLock { $0["a-1.png"] } ?? bench.web.images.withLock { $0["a-3.png"] })
      #expect(sent.count < picture.count)
      // The files, and so their names at the web UI, stay.
      #expect(try Files.read(bench.pool.appending("testresults/a-1.png")) == picture)
      let status = try #require(bench.web.statuses.withLock { $0.last })
      #expect(
        status["result"]?["a"]?["details"]?.array?.first?["screenshot"]?["md5"]?.string
          == Digest.md5(picture).hexadecimal)
    }
  }

  @Test("what the web UI says at the end that it has not got goes up again")
  func lost() async throws {
    try await UploadBench.run { bench in
      try bench.setModules(["a"])
      try await bench.following {
        try bench.capture("a-1.png", Picture().bytes)
        // Both have been answered.
        try await bench.uploader.tally.wait { $0.items == 2 }
        try bench.result(of: "a", images: ["a-1.png"])
        try await bench.uploader.pass(isFinal: true)
      }
      #expect(bench.files == ["image a-1.png", "image a-1.png", "thumb a-1.png", "thumb a-1.png"])
    }
  }

  @Test("those of an earlier process are left to the passes")
  func old() async throws {
    try await UploadBench.run { bench in
      try bench.capture("a-1.png", Picture().bytes)
      try await bench.following(skipsOld: true) {
        // Until the watch is there, what is captured is old, too.
        var number: UInt8 = 0
        while bench.web.arrivals.value == 0 {
          try bench.capture("b-\(number).png", Picture(shade: number).bytes)
          number &+= 1
          await Task.yield()
        }
        #expect(!bench.files.contains { $0.hasSuffix(" a-1.png") })
        try bench.setModules(["a"])
        try bench.result(of: "a", images: ["a-1.png"])
        try await bench.uploader.pass(isFinal: true)
      }
      #expect(bench.files.contains("image a-1.png"))
    }
  }

  @Test("none that is damaged keeps others back, and it goes as it is")
  func damaged() async throws {
    try await UploadBench.run { bench in
      let half = Array(Picture().bytes.dropLast(20))
      try await bench.following {
        try bench.capture("a-1.png", half)
        try bench.capture("a-2.png", [])
        try bench.capture("a-3 \"ü\".png", Picture().bytes)
        try await bench.web.arrivals.wait { $0 == 6 }
      }
      #expect(bench.web.images.withLock { $0["a-1.png"] } == half)
      #expect(bench.web.images.withLock { $0["a-2.png"] } == [])
    }
  }

  @Test("one that vanishes is left out, the next one is brought")
  func vanished() async throws {
    try await UploadBench.run { bench in
      try await bench.following {
        try bench.write("testresults/.thumbs/a-1.png", "only the thumbnail")
        try bench.capture("a-2.png", Picture().bytes)
        try await bench.web.arrivals.wait { $0 == 2 }
      }
      #expect(bench.files == ["image a-2.png", "thumb a-2.png"])
    }
  }

  @Test("a refusal is left to the pass")
  func refused() async throws {
    try await UploadBench.run { bench in
      bench.web.refused.withLock { $0 = ["a-1.png"] }
      try bench.setModules(["a"])
      try await bench.following {
        try bench.capture("a-1.png", Picture().bytes)
        try bench.capture("a-2.png", Picture(shade: 3).bytes)
        try await bench.web.arrivals.wait { $0 == 2 }
        bench.web.refused.withLock { $0 = [] }
        try bench.result(of: "a", images: ["a-1.png"])
        try await bench.uploader.pass(isFinal: true)
      }
      #expect(bench.files.contains("image a-1.png") && bench.files.contains("thumb a-1.png"))
    }
  }

  @Test("OPTIMIZE_IMAGES=0 sends what was captured")
  func unchanged() async throws {
    try await UploadBench.run(.none) { bench in
      try await bench.following {
        try bench.capture("a-1.png", Picture().bytes)
        try await bench.web.arrivals.wait { $0 == 2 }
      }
      #expect(bench.web.images.withLock { $0["a-1.png"] } == Picture().bytes)
    }
  }

  private static let quantiser = #"while [ "$1" != --output ]; do shift; done; printf quantised >"$2""#

  @Test("USE_PNGQUANT: what pngquant makes is sent")
  func quantised() async throws {
    try await UploadBench.run(.quantised, programs: ["pngquant": Self.quantiser]) { bench in
      try await bench.following {
        try bench.capture("a-1.png", Picture().bytes)
        try await bench.web.arrivals.wait { $0 == 2 }
      }
      #expect(bench.web.images.withLock { $0["a-1.png"] } == Array("quantised".utf8))
    }
  }

  @Test(
    "USE_PNGQUANT: an image that pngquant cannot do is made smaller without loss, the next one is its again",
    arguments: [false, true])
  func quantiserFails(isThere: Bool) async throws {
    let script = #"[ ! -e "$0-failed" ] && >"$0-failed" && exit 3; "# + Self.quantiser
    // Not to be found is not the same as failing.
    let programs = isThere ? ["pngquant": script] : [:]
    try await UploadBench.run(.quantised, programs: programs, path: isThere ? nil : "/nowhere") { bench in
      try await bench.following {
        for number in 1...2 {
          try bench.capture("a-\(number).png", Picture(shade: UInt8(number)).bytes)
          try await bench.web.arrivals.wait { $0 == 2 * number }
        }
      }
      let (first, second) = bench.web.images.withLock { ($0["a-1.png"] ?? [], $0["a-2.png"] ?? []) }
      #expect(first.starts(with: [0x89, 0x50]) && first.count < Picture().bytes.count)
      #expect((second == Array("quantised".utf8)) == isThere)
    }
  }
}

extension UploadBench {
  /// Lets the web UI say that it knows these screenshots.
  func know(_ names: [String]) {
    let sums = names.compactMap { try? Files.digest(.md5, of: pool.appending("testresults/\($0)")).hexadecimal }
    web.statusAnswer.withLock {
      $0 = .json(["result": 1, "known_images": .array(sums.map { .string($0) }), "known_files": []])
    }
  }
}
