import Support

/// Names of links that are made in a pool for a job, and so come from whoever wrote the job.
enum PoolName {
  /// What the worker itself keeps in a pool: a link there would lead its writing astray, to the very asset.
  private static let reserved: Set<String> = [
    "autoinst-log.txt", "autoinst-status.json", "base_state.json", "job.json", "live_log", "qemu.pid", "testresults",
    "tmp", "ulogs", "vars.json", "worker-log.txt", "worker_packages.txt",
  ]

  /// Whether `name` is the name of one file in the pool, and of none of the worker's own.
  static func isUsable(_ name: String) -> Bool {
    isOneLine(name) && !name.isEmpty && !name.hasPrefix(".") && !name.contains("/") && !reserved.contains(name)
  }

  /// Whether a text can be a path at all, and fits in a line of a log. Nothing may make a path of one that does not: a NUL
  /// would end it early.
  static func isOneLine(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }
}

extension String {
  /// The text for a message: in one line, and not endless.
  var quotable: String { quotable(limit: 200) }

  /// Returns the text in one line, cut to `limit` Unicode scalars.
  func quotable(limit: Int) -> String {
    let line = String(unicodeScalars.prefix(limit).map { $0.value < 0x20 || $0.value == 0x7F ? "?" : Character($0) })
    return unicodeScalars.count > limit ? "\(line)…" : line
  }
}
