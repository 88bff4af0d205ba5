import LocalWebUI
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Assets of a job", .timeLimit(.minutes(1)))
struct AssetTests {
  static let content = String(repeating: "0123456789", count: 1000)
  static let steps = """
    {"write":"assets_public/x.qcow2","content":"\(content)"},{"write":"assets_private/y","content":"secret"}
    """
  static let chunked = "LOCAL_UPLOAD = 0\nUPLOAD_CHUNK_SIZE = 3000"
  static let unavailable = FaultProxy.Fault.answer(
    Array("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".utf8))

  /// A bench whose web UI is behind a proxy.
  static func bench(_ workers: String) async throws -> (Workbench, FaultProxy) {
    let proxies = Guarded<[FaultProxy]>([])
    let bench = try await Workbench(
      through: { web in
        let port = try #require(web.url.split(separator: ":").last.flatMap { Int($0) })
        let proxy = try FaultProxy(to: port)
        proxies.withLock { $0.append(proxy) }
        return "http://127.0.0.1:\(proxy.port)"
      }, workers: workers)
    return (bench, try #require(proxies.withLock { $0.first }))
  }

  @Test("what a test made arrives, in chunks or by its path", arguments: [chunked, ""])
  func arrival(settings: String) async throws {
    let bench = try await Workbench(workers: settings)
    try await bench.run { _ in
      let scenario = #"{"modules":[{"name":"a","steps":[{"write":"ulogs/u","content":"1"},\#(Self.steps)]}]}"#
      let job = try await bench.end(of: try await bench.schedule(scenario))
      #expect(job.result == "passed" && job.reason == nil)
      #expect(try bench.arrived(job.id, "assets/public/x.qcow2") == Self.content)
      #expect(try bench.arrived(job.id, "assets/private/y") == "secret")
      let names = try #require(try bench.arrived(job.id, "autoinst-log.txt")).split(separator: "\n")
        .filter { $0.contains("Uploading ") }.compactMap { $0.split(separator: " ").last }
      #expect(names.prefix(3) == ["u", "y", "x.qcow2"] && names.contains("video.ogv"))
    }
  }

  @Test("a chunk that fails for good is the job's end; the logs tell why")
  func forGood() async throws {
    let (bench, proxy) = try await Self.bench("\(Self.chunked)\nUPLOAD_RETRIES = 1")
    // Nothing but assets is uploaded before the logs.
    proxy.on("POST", "/artefact", occurrences: 3...3, Self.unavailable)
    try await bench.run { _ in
      let scenario = #"{"modules":[{"name":"a","steps":[\#(Self.steps)]}]}"#
      let job = try await bench.end(of: try await bench.schedule(scenario))
      let text = "Error uploading x.qcow2, chunk 2/4: 503 response: Service Unavailable"
      #expect(job.result == "incomplete" && job.reason == "api failure: \(text)")
      #expect(job.files.contains("assets/private/y") && !job.files.contains("assets/public/x.qcow2"))
      #expect(try bench.arrived(job.id, "autoinst-log.txt")?.contains(text) == true)
    }
    proxy.stop()
  }

  @Test("only of jobs that are done or cancelled", arguments: ["cancel", "die", "obsolete"])
  func reasons(end: String) async throws {
    let bench = try await Workbench(workers: Self.chunked)
    try await bench.run { _ in
      let last = end == "die" ? #"{"die":"it"}"# : #"{"hang":true}"#
      let scenario = #"{"modules":[{"name":"a","steps":[\#(Self.steps),\#(last)]}]}"#
      let id = try await bench.schedule(scenario)
      if end != "die" {
        try await bench.log.line(with: "command server is up")
        await bench.web.send(end == "cancel" ? .cancel : .obsolete, for: id)
      }
      let job = try await bench.end(of: id)
      #expect(job.files.contains("autoinst-log.txt"))
      #expect(job.files.contains("assets/private/y") == (end == "cancel"))
    }
  }
}
