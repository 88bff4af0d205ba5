import Foundation
import Support
import SystemPackage
import TestSupport
import Testing

/// Every call and message between agent and web UI × what can go wrong with it × how often × when: each time the job
/// comes to the right end within its time, nothing is left of it, and the slot takes the next one.
///
/// `FAULT_MATRIX` says which cells: `all`, or those whose names contain its text; a sample otherwise.
/// `FAULT_MATRIX_JOBS` says how many at a time, `FAULT_MATRIX_TABLE` is a file for the table.
@Suite("Fault matrix")
struct FaultMatrixTests {
  private static let environment = ProcessInfo.processInfo.environment

  private static var cells: [FaultCell] {
    switch environment["FAULT_MATRIX"] {
    case "all": return FaultCell.all
    case let text?: return FaultCell.all.filter { $0.id.contains(text) }
    case nil:
      // With a sanitizer everything takes its time.
      return FaultCell.sample(isSanitized ? 40 : 200)
    }
  }

  @Test("the cells are a table, the sample is spread over it")
  func table() {
    let all = FaultCell.all
    #expect(Set(all.map(\.id)).count == all.count && all.count > 800)
    let sample = FaultCell.sample(200)
    #expect(sample.count == 200 && Set(sample).count == 200)
    for call in FaultCell.Call.allCases {
      let cells = sample.filter { $0.call == call }
      #expect(cells.count >= min(10, all.count { $0.call == call }), "\(call)")
      #expect(Set(cells.map(\.times)).count == 2 && Set(cells.map(\.phase)) == Set(call.phases), "\(call)")
    }
    for fault in FaultCell.Fault.allCases { #expect(sample.count { $0.fault == fault } >= 8, "\(fault)") }
    for phase in FaultCell.Phase.allCases { #expect(sample.count { $0.phase == phase } >= 10, "\(phase)") }
  }

  @Test("every cell comes to its end", .timeLimit(.minutes(30)))
  func matrix() async throws {
    let cells = Self.cells
    let start = ContinuousClock.now
    let width = Self.environment["FAULT_MATRIX_JOBS"].flatMap { Int($0) } ?? (isSanitized ? 3 : 6)
    var results: [FaultCell: CellResult] = [:]
    await withTaskGroup(of: (FaultCell, CellResult).self) { group in
      var waiting = cells[...]
      for _ in 0..<width { if let cell = waiting.popFirst() { group.addTask { (cell, await Self.play(cell)) } } }
      for await (cell, result) in group {
        results[cell] = result
        if let problem = result.problem { Issue.record("\(cell.id): \(problem)") }
        if let next = waiting.popFirst() { group.addTask { (next, await Self.play(next)) } }
      }
    }
    let table = FaultTable(results)
    let seconds = start.duration(to: .now).components.seconds
    let slowest = results.max { $0.value.time < $1.value.time }
    note("\(table.rows)\n\(cells.count) cells in \(seconds) s, the slowest \(slowest?.key.id ?? "")")
    if let path = Self.environment["FAULT_MATRIX_TABLE"] {
      try Files.replace(FilePath(path), with: table.document.utf8)
    }
  }

  private static func play(_ cell: FaultCell) async -> CellResult {
    let start = ContinuousClock.now
    var log: LogRecorder?
    do {
      let run = try await CellRun(cell)
      log = run.bench.log
      try await run.run()
      return CellResult(time: start.duration(to: .now))
    } catch {
      let story = log?.lines.suffix(40).joined(separator: "\n") ?? ""
      return CellResult(time: start.duration(to: .now), problem: "\(error)\n\(story)")
    }
  }
}
