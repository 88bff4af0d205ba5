import ArgumentParser
import Configuration
import Glibc
import HTTPServer
import Logging
import OpenQAProtocol
import PNGOptimizer
import Support
import SystemPackage
import Transport
import Upload
import WebUIClient

/// What `scripts/benchmark-uploads` measures: what a slot does, against a web UI that takes everything and keeps nothing.
@main
struct BenchmarkUploads: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmark-uploads", subcommands: [Serve.self, Files.self, Asset.self, Results.self])

  /// A web UI that discards.
  struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Takes everything; prints its URL.")

    mutating func run() async throws {
      var limits = ServerLimits()
      limits.bodyBytes = .max
      let server = try await WebServer.start(limits: limits) { request in
        for try await _ in request.body {}
        if request.path.hasSuffix("/status") { return .json(["result": 1, "known_images": [], "known_files": []]) }
        return .json(["status": "ok"])
      }
      try FileDescriptor.standardOutput.writeAll("http://127.0.0.1:\(server.port)\n".utf8)
      // Until it is killed.
      try await Latch<Void>().wait()
    }
  }

  /// Logs, several at a time.
  struct Files: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Uploads what is in a pool's ulogs.")
    @Argument var url: String
    @Argument var pool: String
    @Argument(help: "How many at a time, as with UPLOAD_CONCURRENCY.") var concurrency = 4

    mutating func run() async throws {
      try await measure(url, concurrency) { bench in
        try await LogUploader(
          job: 1, client: bench.client, pool: FilePath(pool), lane: bench.lane, logger: bench.logger
        ).upload()
      }
    }
  }

  /// An asset in chunks.
  struct Asset: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Uploads the assets that are in a pool.")
    @Argument var url: String
    @Argument var pool: String

    mutating func run() async throws {
      try await measure(url) { bench in
        try await AssetUploader(
          job: 1, client: bench.client, pool: FilePath(pool), lane: bench.lane, options: .init(), logger: bench.logger
        ).upload()
      }
    }
  }

  /// The final pass over results.
  struct Results: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Posts the results that are in a pool.")
    @Argument var url: String
    @Argument var pool: String

    mutating func run() async throws {
      try await measure(url) { bench in
        let compression = ImageCompression(
          .none, workers: try ImageWorkers(), quantiser: .init(environment: [:], folder: FilePath(pool)),
          lane: bench.lane, logger: bench.logger)
        let subject = ResultUploader.Subject(job: 1, workerID: { 1 }, commandServerURL: "", workerHostname: "")
        try await ResultUploader(
          subject, client: bench.client, pool: FilePath(pool), lane: bench.lane, compression: compression,
          logger: bench.logger
        ).pass(isFinal: true)
      }
    }
  }
}

/// What the uploaders need.
struct Bench: Sendable {
  let client: WebUIClient
  let lane: IOLane
  let logger: Logger
}

/// Runs `body` and prints its seconds, CPU seconds, and the process's largest resident size in KiB. A file has been uploaded
/// before, as in a worker that runs.
func measure(_ url: String, _ concurrency: Int = 4, _ body: (Bench) async throws -> Void) async throws {
  ProcessMemory.mapLargeBlocks()
  var logger = Logger(label: "benchmark")
  logger.logLevel = .critical
  let http = try HTTPClient(HTTPClient.Configuration(connectionsPerHost: max(8, concurrency), proxies: .none))
  let client = WebUIClient(
    try WebUIAddress(url), credentials: Credentials(key: "KEY", secret: "SECRET"), http: http,
    retry: Settings.Retry(tries: 1, delay: .zero, delayIfBusy: .zero),
    uploads: UploadBudget(concurrency), logger: logger)
  let bench = Bench(client: client, lane: try IOLane(name: "pool"), logger: logger)
  try await client.send(Artefact(.log, name: "first", path: "/etc/hostname").call(job: 1))
  let (start, before) = (ContinuousClock.now, usage())
  try await body(bench)
  let (seconds, after) = (start.duration(to: .now) / .seconds(1), usage())
  await http.shutdown()
  let text = "\(seconds) \(after.cpu - before.cpu) \(after.kibibytes)\n"
  try FileDescriptor.standardOutput.writeAll(text.utf8)
}

private func usage() -> (cpu: Double, kibibytes: Int) {
  var usage = rusage()
  getrusage(RUSAGE_SELF.rawValue, &usage)
  func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
  return (seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss)
}
