/// What came of a cell.
struct CellResult: Sendable {
  var time: Duration
  /// Nil if all was as it has to be.
  var problem: String?
}

/// How many cells there are of each call and fault, and how many are as they have to be.
struct FaultTable {
  private let results: [FaultCell: CellResult]

  init(_ results: [FaultCell: CellResult]) { self.results = results }

  /// `docs/fault-matrix.md`.
  var document: String {
    """
    # Fault matrix

    Each call and message between a slot and its web UI (rows) × what can go wrong with it (columns) × once or for ever × in
    which part of a job's life: before it, in its set-up, while the backend runs, and at its end, which is the test's own, a
    cancellation, or that of the worker. In each cell, a slot runs a job with `fake-isotovideo`, and a proxy (`FaultProxy`)
    breaks what goes through it. The job has to end within its time and as the table of `FaultCell+Outcome.swift` says, no
    process of it may be left, the pool has to be clean, and the slot has to take the next job, or to end where it should.

    Over the WebSocket, `refused` is a connection that ends, `silence` a message that vanishes; statuses of HTTP mean nothing
    there. `wrong-json` is JSON that no web UI sends, `duplicate` a request or message that arrives twice.

    A number is how many cells there are, all of them as they have to be; `3 of 4` would be one that is not. Made by

    ```
    FAULT_MATRIX=all FAULT_MATRIX_TABLE=$PWD/docs/fault-matrix.md swift test --filter FaultMatrix
    ```

    which plays \(results.count) cells. Without `FAULT_MATRIX`, as in `scripts/test`, it is a sample of 200 that has
    all rows, columns and parts of a job's life in it. `FAULT_MATRIX=command/reset` plays the cells that have this in their
    names, `FAULT_MATRIX_JOBS` is how many are played at a time (6).

    \(rows)
    """
  }

  /// The table, in Markdown.
  var rows: String {
    let faults = FaultCell.Fault.allCases
    var lines = ["| | \(faults.map(\.rawValue).joined(separator: " | ")) | all |"]
    lines.append("|---|" + String(repeating: "---|", count: faults.count + 1))
    for call in FaultCell.Call.allCases {
      let counts = faults.map { fault in count { $0.call == call && $0.fault == fault } }
      lines.append("| \(call.rawValue) | \((counts + [count { $0.call == call }]).joined(separator: " | ")) |")
    }
    let sums = faults.map { fault in count { $0.fault == fault } } + [count { _ in true }]
    lines.append("| **all** | \(sums.joined(separator: " | ")) |")
    return lines.joined(separator: "\n") + "\n"
  }

  /// `4`, `3 of 4` if one is not as it has to be, `–` for none.
  private func count(_ belongs: (FaultCell) -> Bool) -> String {
    let cells = results.filter { belongs($0.key) }
    let good = cells.count { $0.value.problem == nil }
    return cells.isEmpty ? "–" : good == cells.count ? "\(good)" : "\(good) of \(cells.count)"
  }
}
