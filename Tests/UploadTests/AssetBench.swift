import Configuration
import LocalWebUI
import Logging
import Support
import SystemPackage
import TestSupport
import Testing
import Transport
import Upload
import WebUIClient

/// A pool with assets, a web UI whose job they belong to, and a proxy in between that breaks what it is told to.
struct AssetBench: Sendable {
  let folder: TemporaryFolder
  let web: LocalServer
  let proxy: FaultProxy
  let http: HTTPClient
  let job: Int64
  let log = RecordedLog()
  let clock = RecordedClock()

  var pool: FilePath { folder.path.appending("pool") }
  /// Where the web UI has what belongs to the job.
  var home: FilePath { web.folder.appending(String(job)) }

  func write(_ name: String, _ content: [UInt8]) throws {
    let path = pool.appending(name)
    try Files.makeDirectory(path.removingLastComponent())
    try Files.replace(path, with: content)
  }

  /// Uploads what is in the pool, in chunks of 20 bytes unless told otherwise.
  func upload(isLocal: Bool = false, chunkSize: Int = 20, tries: Int = 3, inputs: Set<String> = []) async throws {
    let client = WebUIClient(
      try WebUIAddress("http://127.0.0.1:\(proxy.port)"), credentials: nil, http: http, retry: Settings.Retry(),
      logger: log.logger)
    var options = AssetUploader.Options()
    options.isLocal = isLocal
    options.chunkSize = chunkSize
    options.tries = tries
    options.inputs = inputs
    let uploader = AssetUploader(
      job: job, client: client, pool: pool, lane: try IOLane(name: "pool"), options: options, logger: log.logger,
      clock: clock, random: { 0.25 })
    try await uploader.upload()
  }

  /// What arrived at the web UI of an asset.
  func arrived(_ name: String) throws -> [UInt8]? { try Files.read(home.appending("assets").appending(name)) }

  static func run(_ body: @Sendable (AssetBench) async throws -> Void) async throws {
    let folder = try TemporaryFolder()
    let web = try await LocalServer.start(folder: folder.path.appending("web"))
    let http = try HTTPClient()
    let worker = "host=h&instance=1&cpu_arch=x86_64&mem_max=1&worker_class=a&websocket_api_version=1"
    _ = try await http.send(HTTPRequest(.post, "\(web.url)/api/v1/workers?\(worker)"))
    let socket = try await WebSocketClient().connect(WebSocketRequest("\(web.url)/api/v1/ws/1"))
    try await socket.send(#"{"type":"worker_status","status":"free"}"#)
    let job = await web.schedule(["TEST": "t", "WORKER_CLASS": "a"])
    for await message in socket.messages where message.contains("grab_job") { break }
    let port = try #require(web.url.split(separator: ":").last.flatMap { Int($0) })
    let bench = AssetBench(folder: folder, web: web, proxy: try FaultProxy(to: port), http: http, job: job)
    let result: Result<Void, any Error>
    do { result = .success(try await body(bench)) } catch { result = .failure(error) }
    await socket.close()
    await http.shutdown()
    bench.proxy.stop()
    await web.stop()
    try result.get()
  }
}

/// A clock on which waits take no time, but those for lines about progress, which never come unless told to.
struct RecordedClock: Clock, Sendable {
  struct Instant: InstantProtocol {
    var offset = Duration.zero
    func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
    func duration(to other: Instant) -> Duration { other.offset - offset }
    static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
  }

  static let progressPeriod = Duration.seconds(10)

  /// Each wait, in order, but for those for progress.
  let waits = Guarded<[Duration]>([])
  /// What happens in a wait; gets how many there were before.
  let onWait = Guarded<@Sendable (Int) async throws -> Void>({ _ in })
  /// What happens in a wait for progress.
  let onProgress = Guarded<@Sendable () async throws -> Void>({ try await Task.sleep(for: .seconds(3600)) })

  var now: Instant { Instant() }
  var minimumResolution: Duration { .zero }

  func sleep(until deadline: Instant, tolerance: Duration?) async throws {
    if deadline.offset == RecordedClock.progressPeriod { return try await onProgress.withLock { $0 }() }
    let count = waits.withLock { waits in
      waits.append(deadline.offset)
      return waits.count - 1
    }
    try await onWait.withLock { $0 }(count)
  }
}

/// What was logged.
final class RecordedLog: Sendable {
  private struct Handler: LogHandler {
    let log: RecordedLog
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { log.state.withLock { $0.append("\(event.message)") } }
  }

  private let state = Guarded<[String]>([])

  var lines: [String] { state.withLock { $0 } }
  var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }
}
