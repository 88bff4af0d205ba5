import Glibc
import HTTPServer
package import OpenQAProtocol
package import Support
package import SystemPackage

/// A web UI for one machine: gives jobs to workers and keeps what they bring, in a folder for each job. It speaks the
/// server's side of the worker protocol (§2, §3, §6 and §7), on the loopback only.
package actor LocalServer {
  /// What happens, for whoever watches.
  package enum Event: Sendable, Hashable {
    case connected(worker: Int64)
    case disconnected(worker: Int64)
    /// A message of a worker, over the WebSocket.
    case message(JSON, worker: Int64)
    case changed(LocalJob)
    /// A file has arrived in a job's folder.
    case arrived(job: Int64, file: String)
    /// A worker shows something of a running job: a file in the job's folder has changed, and is so large now.
    case live(job: Int64, file: String, size: Int64)
    /// A worker tells developers how far its uploads are.
    case progress(job: Int64, JSON)
  }

  /// The largest message of a worker, in bytes.
  private static let maximumMessageSize = 10 << 20

  /// To be taken by one task.
  package nonisolated let events: AsyncStream<Event>
  /// Where it listens.
  package nonisolated let url: String
  /// A folder for each job, named by its id.
  package nonisolated let folder: FilePath

  let out: AsyncStream<Event>.Continuation
  let lane: IOLane
  /// Counts whatever happens to jobs, for pages that show them.
  let changes = Observed(0)
  private let server: Latch<WebServer>
  var board = JobBoard()
  /// How many screens have come of a job.
  var screens: [Int64: Int] = [:]
  private var sockets: [Int64: WebSocket] = [:]
  /// What is said to workers without waiting for it.
  private var outboxes: [Int64: AsyncStream<JSON>.Continuation] = [:]
  /// Where each image is, below the folder, by its MD5 sum: of those that are the same only one is sent.
  var storedImages: [String: String] = [:]
  private var ends: [Int64: Latch<LocalJob>] = [:]
  var arrivals = 0
  /// The versions of isotovideo's interface that a worker has registered, each until another one came; nil for none.
  package var interfaceVersions: [String?] = []

  private init(folder: FilePath, lane: IOLane, server: Latch<WebServer>, url: String) {
    self.folder = folder
    self.lane = lane
    self.server = server
    self.url = url
    (events, out) = AsyncStream.makeStream()
  }

  /// Starts a web UI that keeps its jobs below `folder`.
  /// - Parameters:
  ///   - port: 0 for any.
  ///   - key: what workers have to sign with, and `secret` with it; nil takes everybody.
  /// - Throws: when the folder cannot be made or the port is taken.
  package static func start(
    folder: FilePath, port: Int = 0, key: String? = nil, secret: String? = nil
  ) async throws -> LocalServer {
    let lane = try IOLane(name: "local web UI")
    try await lane.run { try Files.makeDirectory(folder) }
    let check = key.flatMap { key in
      secret.map { SignatureCheck(key: key, secret: $0, now: { Int64(time(nil)) }) }
    }
    let served = Latch<Reference>()
    let running = Latch<WebServer>()
    var limits = ServerLimits()
    limits.messageBytes = maximumMessageSize
    let server = try await WebServer.start(port: port, limits: limits) { request in
      let isForPage = LocalServer.isForPage(request)
      if !isForPage, let text = check?.refusal(of: request) {
        return Refusal(403, text).response(to: request)
      }
      guard let web = try await served.wait().web else { return .text("stopped\n", status: 503) }
      return try await isForPage ? web.show(request) : web.respond(to: request)
    }
    running.open(with: server)
    let web = LocalServer(
      folder: folder, lane: lane, server: running, url: "http://127.0.0.1:\(server.port)")
    served.open(with: Reference(web: web))
    return web
  }

  /// What the server's handler has: the web UI holds the server, so the server must not hold the web UI.
  private struct Reference: Sendable { weak let web: LocalServer? }

  /// Closes every connection.
  package func stop() async {
    await server.value?.stop()
    out.finish()
  }

  // MARK: What its user wants

  /// Adds a job, which goes to the first free worker of its class.
  package func schedule(_ settings: [String: JSON]) async -> Int64 {
    let job = add(settings)
    await handOut()
    return job
  }

  /// Adds jobs of which one worker runs one after the other.
  /// - Parameter jobs: the settings of each, and which of those before it has to end well first; nil for the first.
  /// - Returns: their ids.
  package func schedule(sequence jobs: [(settings: [String: JSON], parent: Int?)]) async -> [Int64] {
    var ids: [Int64] = []
    for job in jobs { ids.append(add(job.settings, after: job.parent.map { ids[$0] })) }
    await handOut()
    return ids
  }

  private func add(_ settings: [String: JSON], after parent: Int64? = nil) -> Int64 {
    let token = (0..<16).map { _ in "abcdefghijklmnopqrstuvwxyz0123456789".randomElement().map(String.init) ?? "" }
    let job = board.add(settings, token: token.joined(), after: parent)
    ends[job.id] = Latch()
    changed(job.id)
    return job.id
  }

  private func handOut() async { for worker in board.workers.keys.sorted() { await hand(to: worker) } }

  /// What is known of a job.
  package func job(_ id: Int64) -> LocalJob? { board.jobs[id] }

  /// The job when it is done.
  /// - Throws: `CancellationError`.
  package func end(of job: Int64) async throws -> LocalJob? { try await ends[job]?.wait() }

  /// Ends a job, whatever its worker does, as a web UI does that has not heard of a worker for long.
  package func abandon(_ job: Int64) {
    board.finish(job, result: "incomplete", reason: "abandoned")
    changed(job)
  }

  /// Forgets a worker, as if its row were deleted in the database: it gets another number when it registers again.
  package func forget(_ worker: Int64) { board.forget(worker) }

  /// Tells the worker of a job what to do about it.
  package func send(_ command: JobCommand, for job: Int64) async {
    guard let worker = board.jobs[job]?.worker else { return }
    await send(["type": .string(command.rawValue), "jobid": .integer(job)], to: worker)
  }

  /// Says something to a worker.
  package func send(_ message: JSON, to worker: Int64) async { try? await sockets[worker]?.send(message.text) }

  /// Tells the worker of a job what to do about it, when there is time: for those who may not wait.
  func post(_ command: JobCommand, for job: Int64) {
    guard let worker = board.jobs[job]?.worker else { return }
    outboxes[worker]?.yield(["type": .string(command.rawValue), "jobid": .integer(job)])
  }

  func changed(_ id: Int64) {
    guard let job = board.jobs[id] else { return }
    out.yield(.changed(job))
    changes.change { $0 += 1 }
    if job.state == .done { ends[id]?.open(with: job) }
  }

  // MARK: The WebSocket

  func converse(_ socket: WebSocket, with worker: Int64) async {
    // A worker has one connection; the newer one is the living one.
    if let older = sockets[worker] {
      try? await older.close(
        code: 1008,
        reason: "only one connection per worker allowed, finishing old one in favor of new one")
    }
    sockets[worker] = socket
    let (messages, outbox) = AsyncStream<JSON>.makeStream()
    outboxes[worker] = outbox
    out.yield(.connected(worker: worker))
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await message in messages { try? await socket.send(message.text) } }
      do {
        for try await text in socket.messages {
          guard let message = try? JSON(parsing: text), message.object != nil else {
            try? await socket.close(code: 1003, reason: "Received unexpected data from worker, forcing close")
            continue
          }
          out.yield(.message(message, worker: worker))
          await take(message, from: worker)
          if message["type"]?.string == "rejected" {
            // As by openQA's scheduler, whose period is 20 s.
            group.addTask {
              try? await DeadlineClock().sleep(for: .seconds(1))
              await self.hand(to: worker)
            }
          }
        }
      } catch {
        // The worker is gone, which is what the end of its messages says as well.
      }
      outbox.finish()
      group.cancelAll()
    }
    if sockets[worker] === socket {
      sockets[worker] = nil
      // It may come back, and name the job that it has.
      board.set(status: nil, of: worker)
    }
    out.yield(.disconnected(worker: worker))
  }

  private func take(_ message: JSON, from worker: Int64) async {
    switch message["type"]?.string {
    case "worker_status":
      board.set(status: message["status"]?.string, of: worker)
      await send(["type": "info", "seen": 1], to: worker)
      await hand(to: worker)
    case "accepted":
      if let job = message["jobid"].flatMap(JobInfo.id(of:)) {
        board.accept(job, by: worker)
        changed(job)
      }
    case "rejected":
      for job in message["job_ids"]?.array ?? [] {
        if let id = JobInfo.id(of: job), board.unassign(id, from: worker) { changed(id) }
      }
    case "quit": if let job = board.leave(worker) { changed(job) }
    default: break
    }
  }

  /// Gives a free worker the next job, with those that run after it.
  func hand(to worker: Int64) async {
    guard sockets[worker] != nil else { return }
    let jobs = board.assign(to: worker)
    guard let first = jobs.first else { return }
    for job in jobs { changed(job.id) }
    if jobs.count == 1 { return await send(["type": "grab_job", "job": first.grab], to: worker) }
    let info: JSON = [
      "ids": .array(jobs.map { .integer($0.id) }), "assigned_worker_id": .integer(worker),
      "data": .object(Dictionary(uniqueKeysWithValues: jobs.map { (String($0.id), $0.grab) })),
      "sequence": .array(board.sequence(of: first.id)),
    ]
    await send(["type": "grab_jobs", "job_info": info], to: worker)
  }
}
