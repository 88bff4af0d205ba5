import Agent
import Configuration
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport

/// Plays one cell: a slot, its web UI, the fault between them, and a job that has to come to the right end all the same.
struct CellRun: Sendable {
  /// What is not as it has to be.
  struct Wrong: Error, CustomStringConvertible {
    var description: String
  }

  /// What a cell may take, on a busy machine.
  private static let limit = Duration.seconds(isSanitized ? 240 : 60)
  private static let quick = #"{"modules":[{"name":"n","steps":[{"screenshot":{"width":64,"height":48}}]}]}"#

  let cell: FaultCell
  let folder: TemporaryFolder
  let bench: Workbench
  let front: FaultProxy
  let watch = WebUIWatch(job: 1)
  private let ready: ReadyPipe

  init(_ cell: FaultCell) async throws {
    self.cell = cell
    folder = try TemporaryFolder()
    ready = try ReadyPipe(folder.path.appending("ready"))
    let proxy = Latch<FaultProxy>()
    let hook = cell.phase == .setup ? "SYNC_ASSETS_HOOK = while [ ! -e \(folder.path)/gate ]; do sleep 0.02; done" : ""
    let workers = "RETRIES = 3\nUPLOAD_RETRIES = 2\nUPLOAD_CHUNK_SIZE = 1000\nLOCAL_UPLOAD = 0\n\(hook)"
    bench = try await Workbench(through: { try BadWebUITests.front($0, proxy) }, workers: workers) { settings in
      settings.statusInterval = .milliseconds(400) ... .milliseconds(400)
      settings.upload.delay = .zero
      if cell.call == .connection {
        // REST calls go on failing as well, until the web UI is back.
        settings.webUIs[0].retry.tries = 1000
        settings.webUIs[0].retry.delay = .milliseconds(50)
      } else if cell.fault == .silence {
        // Whoever is silent for good costs that much for each try.
        settings.webUIs[0].retry.inactivity = .milliseconds(700)
      }
    }
    front = try await proxy.reached()
  }

  /// - Throws: ``Wrong``, and what the test's own parts throw.
  func run() async throws {
    let wasAsked = try await bench.run(stopsHost: !endsByItself) { commands in
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          await watch.follow(bench.web)
          try await Task.sleep(for: .seconds(3600))
        }
        group.addTask { try await play(commands) }
        group.addTask {
          try await Task.sleep(for: CellRun.limit)
          throw Wrong(description: "not over within \(CellRun.limit)")
        }
        defer { group.cancelAll() }
        try await group.next()
      }
    }
    ready.dismiss()
    front.stop()
    try expect(wasAsked == !cell.isRefusal, "the agent ended \(wasAsked ? "" : "not ")because it was asked to")
    let left = try Files.names(in: bench.pool)
    try expect(left == [".locked", ".supervisor"], "the pool has \(left)")
    let processes = Leftovers.find(mark: "WORKER_AGENT_POOL=\(bench.pool)")
    try expect(processes.isEmpty, "processes are left: \(processes)")
  }

  func expect(_ condition: Bool, _ problem: @autoclosure () -> String) throws {
    if !condition { throw Wrong(description: problem()) }
  }

  private var endsByItself: Bool { cell.phase == .stopped || cell.isRefusal }

  // MARK: The job

  private func play(_ commands: AsyncStream<Slot.Command>.Continuation) async throws {
    let goesOn = try await disturb(commands)
    guard goesOn else { return }
    if cell.outcome == .abandoned {
      // Nobody told it: the next registration does.
      try await bench.log.line(with: "could not be told")
      if cell.phase == .stopped { return }
      front.clear()
    }
    try check(try await bench.end(of: 1))
    front.clear()
    if endsByItself { return }
    try openGate()
    let next = try await bench.end(of: try await bench.schedule(CellRun.quick))
    try expect(
      next.result == "passed" && next.reason == nil, "the next job is \(next.result ?? "") \(next.reason ?? "")")
  }

  private func check(_ job: LocalJob) throws {
    let said = "\(job.result ?? "no result"), \(job.reason ?? "no reason")"
    let hasPassed = job.result == "passed" && job.reason == nil
    let isRight =
      switch cell.outcome {
      case .passed: job.result == "passed" && job.reason == nil
      case .cancelled: job.result == "user_cancelled" && job.reason == nil
      case .stopped: job.result == "incomplete" && job.reason == "quit: worker has been stopped or restarted"
      case .apiFailure(let text):
        job.result == "incomplete" && job.reason?.hasPrefix("api failure: ") == true
          && job.reason?.contains(text) == true
      case .resultsMissing(let text):
        // A file that goes up more than once may have arrived all the same.
        cell.call != .statusFinal && hasPassed
          || job.reason?.hasPrefix("api failure: Unable to upload images: ") == true
            && job.reason?.contains(text) == true
      case .abandoned: job.result == "incomplete" && job.reason?.hasPrefix("abandoned: ") == true
      }
    try expect(isRight, "expected \(cell.outcome), got \(said)")
    guard hasPassed, ![.halfJSON, .wrongJSON, .html].contains(cell.fault) else { return }
    let missing = job.namedFiles.union(job.namedImages.values).subtracting(job.files)
    try expect(missing.isEmpty && !job.namedFiles.isEmpty && !job.namedImages.isEmpty, "not arrived: \(missing)")
    for name in ["autoinst-log.txt", "ulogs/note.txt", "vars.json"] {
      try expect(job.files.contains(name), "not arrived: \(name)")
    }
  }

  /// Schedules the job that the fault happens to.
  /// - Parameter holds: whether its backend waits in its last module until the gate is open.
  func schedule(holds: Bool) async throws {
    let gate = folder.path.appending("gate")
    let wait = holds ? #"{"write":"\#(ready.path)","append":true,"content":"."},{"until":"\#(gate)"},"# : ""
    let scenario = """
      {"modules":[
        {"name":"a","steps":[{"screenshot":{"width":64,"height":48}},{"text":"said"},
          {"write":"ulogs/note.txt","content":"noted"},{"write":"assets_public/disk","size":1500}]},
        {"name":"z","steps":[\(wait){"text":"done"}]}
      ]}
      """
    _ = try await bench.schedule(scenario)
  }

  /// Returns when the backend has come to its last module.
  func backendWaits() async throws { try await ready.opened.reached() }

  /// Lets the set-up, or the backend, go on.
  func openGate() throws { try Files.replace(folder.path.appending("gate"), with: []) }
}
