import TestSupport

/// One cell of the fault matrix: what breaks, how, how often, and in which part of a job's life.
struct FaultCell: Sendable, Hashable {
  /// What the agent and its web UI say to each other.
  enum Call: String, Sendable, CaseIterable {
    // REST calls, in the order of a job's life.
    case locate, register
    case statusSetup = "status-setup"
    case statusResults = "status-results"
    case statusUploading = "status-uploading"
    case log
    case assetChunk = "asset-chunk"
    case uploadState = "upload-state"
    case duplicate
    case statusFinal = "status-final"
    case image, text
    case setDone = "set-done"
    // Over the WebSocket.
    case upgrade
    case workerStatus = "worker-status"
    case grab, accepted, command
    /// The connection itself, between messages.
    case connection
  }

  /// What happens to it. Over the WebSocket, `refused` is a connection that ends, `silence` a message that vanishes.
  enum Fault: String, Sendable, CaseIterable {
    case refused, reset, silence
    case status500 = "500"
    case status503 = "503"
    case status404 = "404"
    case status408 = "408"
    case status429 = "429"
    case status490 = "490"
    case halfJSON = "half-json"
    case wrongJSON = "wrong-json"
    case html, duplicate
  }

  enum Times: String, Sendable, CaseIterable {
    case once
    /// Until nothing more can come of it; then the web UI is as it should be.
    case forever
  }

  /// When it happens, and with it, how the job ends.
  enum Phase: String, Sendable, CaseIterable {
    /// Before there is a job.
    case start
    case setup
    /// The backend runs; it ends by itself later.
    case running
    /// The job ends by itself.
    case done
    case cancelled
    /// The agent is told to end.
    case stopped
  }

  var call: Call
  var fault: Fault
  var times: Times
  var phase: Phase

  /// `image/reset/once/done`.
  var id: String { "\(call.rawValue)/\(fault.rawValue)/\(times.rawValue)/\(phase.rawValue)" }
}

extension FaultCell.Call {
  /// Where it can happen.
  var phases: [FaultCell.Phase] {
    switch self {
    case .locate, .register, .upgrade: [.start, .running, .done]
    case .statusSetup, .accepted: [.setup]
    case .statusResults: [.running]
    case .statusUploading, .statusFinal, .setDone: [.done, .cancelled, .stopped]
    case .log, .assetChunk, .uploadState: [.done, .cancelled]
    case .image, .text: [.running, .done, .cancelled, .stopped]
    case .duplicate: [.stopped]
    case .workerStatus: [.start, .running]
    case .grab: [.start]
    case .command: [.setup, .running, .done]
    case .connection: [.start, .setup, .running, .done, .cancelled]
    }
  }

  /// What can happen to it.
  var faults: [FaultCell.Fault] {
    switch self {
    case .workerStatus, .grab, .accepted, .command:
      [.refused, .reset, .silence, .halfJSON, .wrongJSON, .html, .duplicate]
    case .connection: [.refused, .reset, .silence]
    default: FaultCell.Fault.allCases
    }
  }

  /// Whether the agent wants to read the answer.
  var expectsJSON: Bool {
    switch self {
    case .locate, .statusSetup, .statusUploading, .log, .image, .text, .uploadState: false
    default: true
    }
  }

  /// Whether an answer that is JSON and not the web UI's is found out.
  var checksAnswer: Bool { [.statusResults, .statusFinal, .setDone].contains(self) }
}

extension FaultCell {
  /// All cells, in a fixed order.
  static let all: [FaultCell] = Call.allCases.flatMap { call in
    call.phases.flatMap { phase in
      call.faults.flatMap { fault in
        Times.allCases.map { FaultCell(call: call, fault: fault, times: $0, phase: phase) }
      }
    }
  }

  /// So many cells, always the same ones: of each call as many as of any other, and of those as many different faults,
  /// phases and times as there are.
  static func sample(_ count: Int) -> [FaultCell] {
    var waiting = Call.allCases.enumerated().map { number, call in
      let cells = all.filter { $0.call == call }
      // Each call begins with another fault, so that none is left out of all of them.
      let first = number * 6 * Times.allCases.count % cells.count
      return ordered(Array(cells[first...] + cells[..<first]))
    }
    var sample: [FaultCell] = []
    while sample.count < count, waiting.contains(where: { !$0.isEmpty }) {
      for index in waiting.indices where sample.count < count && !waiting[index].isEmpty {
        sample.append(waiting[index].removeFirst())
      }
    }
    return sample
  }

  /// Cells so that each is as different as can be from all before it.
  private static func ordered(_ cells: [FaultCell]) -> [FaultCell] {
    var (rest, result) = (cells, [FaultCell]())
    var faults: [Fault: Int] = [:]
    var phases: [Phase: Int] = [:]
    var times: [Times: Int] = [:]
    while !rest.isEmpty {
      func familiarity(_ cell: FaultCell) -> Int {
        faults[cell.fault, default: 0] * 4 + phases[cell.phase, default: 0] + times[cell.times, default: 0]
      }
      // The first of the least familiar ones; the name decides which that is.
      guard let next = rest.indices.min(by: { (familiarity(rest[$0]), $0) < (familiarity(rest[$1]), $1) }) else {
        break
      }
      let cell = rest.remove(at: next)
      faults[cell.fault, default: 0] += 1
      phases[cell.phase, default: 0] += 1
      times[cell.times, default: 0] += 1
      result.append(cell)
    }
    return result
  }
}
