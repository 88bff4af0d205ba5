import Agent
import LocalWebUI
import OpenQAProtocol
import Support
import TestSupport

/// When the fault strikes, and what the web UI or the agent's user do about it.
extension CellRun {
  /// Schedules the job, lets the fault happen and does what the job needs to come to its end.
  /// - Returns: false if nothing more is to come of it: the agent ends.
  func disturb(_ commands: AsyncStream<Slot.Command>.Continuation) async throws -> Bool {
    switch cell.phase {
    case .start: return try await disturbStart()
    case .setup: try await disturbSetup()
    case .running: try await disturbBackend()
    case .done: try await disturbReport(cancelling: false)
    case .cancelled where cell.call == .connection: try await disturbReport(cancelling: true)
    case .cancelled, .stopped:
      armAll()
      try await schedule(holds: true)
      try await backendWaits()
      if cell.phase == .stopped { commands.yield(.stop) } else { await bench.web.send(.cancel, for: 1) }
    }
    return true
  }

  /// Puts the fault in place, and what it needs to happen at all.
  @discardableResult
  private func armAll() -> EventCounter {
    if cell.call == .uploadState, let chunk = FaultCell(cell, of: .assetChunk).target {
      front.on(chunk.method, chunk.path, body: chunk.body, FaultCell.answer("500 Trouble", "{}"))
    }
    return cell.arm(front)
  }

  private func disturbStart() async throws -> Bool {
    if cell.call == .connection {
      try await bench.log.line(with: "Registered and connected")
      try await breakConnection { try await self.schedule(holds: false) }
      return true
    }
    // The agent is there already, and begins anew.
    try await watch.connections.reach(1)
    if cell.call == .locate { failRegistrationOnce() }
    let struck = armAll()
    if [.locate, .register, .upgrade].contains(cell.call) { front.breakConnections() }
    try await schedule(holds: false)
    if cell.isRefusal {
      try await bench.log.line(with: "not trying again")
      return false
    }
    try await struck.reach(1)
    if cell.call == .grab, !cell.endsConnection, cell.fault != .duplicate {
      // Until it hears of the worker again, the web UI waits for it to begin.
      front.breakConnections()
      if cell.times == .forever { try await struck.reach(2) }
    } else if cell.times == .forever {
      try await firstOf({ try await struck.reach(3) }, { _ = try await self.bench.web.end(of: 1) })
    }
    if cell.times == .forever {
      front.clear()
      front.breakConnections()
    }
    return true
  }

  private func disturbSetup() async throws {
    let struck = cell.call == .connection ? EventCounter() : armAll()
    try await schedule(holds: false)
    switch cell.call {
    case .command:
      try await bench.log.line(with: "Running SYNC_ASSETS_HOOK")
      try await cancel(struck)
    case .connection:
      try await bench.log.line(with: "Running SYNC_ASSETS_HOOK")
      try await breakConnection {}
    default: try await struck.reach(1)
    }
    if cell.outcome == .passed { try openGate() }
  }

  private func disturbBackend() async throws {
    switch cell.call {
    case .locate, .register, .upgrade:
      try await schedule(holds: true)
      try await backendWaits()
      try await disturbReconnection()
      try openGate()
    case .command:
      try await schedule(holds: true)
      try await backendWaits()
      try await cancel(armAll())
      if cell.outcome == .passed { try openGate() }
    case .connection:
      try await schedule(holds: true)
      try await backendWaits()
      try await breakConnection {}
      try openGate()
    default:
      let struck = armAll()
      try await schedule(holds: true)
      try await struck.reach(1)
      if [.image, .text].contains(cell.call) {
        if cell.isNotDelivered {
          try await firstOf(
            { try await bench.log.line(with: "Error uploading ") },
            { try await bench.log.line(with: "is not uploaded yet") })
        }
        front.clear()
      }
      if cell.outcome == .passed { try openGate() }
    }
  }

  private func disturbReport(cancelling: Bool) async throws {
    guard [.locate, .register, .upgrade, .command, .connection].contains(cell.call) else {
      armAll()
      return try await schedule(holds: false)
    }
    guard let log = FaultCell(cell, of: .log).target else { return }
    let slow = front.on(log.method, log.path, body: log.body, occurrences: 1...1, .delay(.milliseconds(500)))
    try await schedule(holds: cancelling)
    if cancelling {
      try await backendWaits()
      await bench.web.send(.cancel, for: 1)
    }
    try await slow.applied.reach(1)
    switch cell.call {
    case .command:
      armAll()
      await bench.web.send(.cancel, for: 1)
    case .connection: try await breakConnection {}
    default: try await disturbReconnection()
    }
  }

  // MARK: Steps

  private func failRegistrationOnce() {
    front.on("POST", "/api/v1/workers", occurrences: 1...1, FaultCell.answer("500 Trouble", "{}"))
  }

  /// Breaks the connection, and lets the way back be disturbed.
  private func disturbReconnection() async throws {
    let before = watch.connections.count
    if cell.call == .locate { failRegistrationOnce() }
    let struck = armAll()
    front.breakConnections()
    if cell.isRefusal {
      try await bench.log.line(with: "not trying again")
      return
    }
    try await struck.reach(1)
    if cell.times == .forever {
      try await firstOf({ try await struck.reach(3) }, { try await self.watch.connections.reach(before + 1) })
      front.clear()
      front.breakConnections()
    }
    try await watch.connections.reach(before + 1)
  }

  /// Gives the command that the fault happens to, once more if it was lost once.
  private func cancel(_ struck: EventCounter) async throws {
    let before = watch.connections.count
    await bench.web.send(.cancel, for: 1)
    try await struck.reach(1)
    if cell.endsConnection, cell.times == .once { try await watch.connections.reach(before + 1) }
    if cell.fault != .duplicate, cell.times == .once { await bench.web.send(.cancel, for: 1) }
  }

  /// Lets the connection break, several times if need be, and returns when there is one again.
  /// - Parameter meanwhile: what happens while there is none.
  private func breakConnection(_ meanwhile: @escaping @Sendable () async throws -> Void) async throws {
    for round in 0..<(cell.times == .once ? 1 : 3) {
      // Not in the middle of a connection's beginning, which has a minute.
      let connected = bench.log.count(of: "Registered and connected")
      switch cell.fault {
      case .refused:
        let failures = bench.log.count(of: "Failed to register")
        try front.setDoor(.closed)
        front.breakConnections()
        try await failures.reach(2)
        if round == 0 { try await meanwhile() }
        try front.setDoor(.open)
      case .silence:
        let givenUp = bench.log.count(of: "given up: nothing was received")
        front.freeze()
        if round == 0 { try await meanwhile() }
        try await givenUp.reach(1)
        front.freeze(false)
      default:
        front.breakConnections(resetting: true)
        if round == 0 { try await meanwhile() }
      }
      try await connected.reach(1)
    }
  }

  /// Returns when one of two things has happened.
  private func firstOf(
    _ one: @escaping @Sendable () async throws -> Void, _ other: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await one() }
      group.addTask { try await other() }
      defer { group.cancelAll() }
      try await group.next()
    }
  }
}

extension FaultCell {
  /// The same with another call.
  fileprivate init(_ cell: FaultCell, of call: Call) {
    self = cell
    self.call = call
  }

  /// Whether a file stays where it is in the pass that the fault happens to.
  fileprivate var isNotDelivered: Bool {
    switch fault {
    case .status404: true
    case .duplicate, .wrongJSON, .halfJSON, .html: false
    default: times == .forever
    }
  }
}
