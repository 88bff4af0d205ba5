import Support
import SystemPackage

/// What a worker shows of a running job (protocol §6), as files in the job's folder. Blocks.
struct LiveFiles: Sendable {
  /// What has come, by file.
  struct Change: Sendable, Hashable {
    var file: String
    /// Bytes.
    var size: Int64
  }

  /// The file of each field of a status that has lines of a log.
  private static let logs = [
    "log": log, "serial_log": "serial-terminal-live.txt",
    "serial_terminal": "serial-terminal-live.txt", "serial_terminal_user": "serial-terminal-live.txt",
  ]
  /// The backend's log.
  static let log = "autoinst-log-live.txt"
  /// The screen.
  static let screen = "live.png"

  let folder: FilePath

  /// Keeps what a status has of screen and logs.
  /// - Returns: what is new.
  func take(_ status: JSON) throws -> [Change] {
    try Files.makeDirectory(folder)
    var changes: [Change] = []
    for (field, file) in LiveFiles.logs.sorted(by: { $0.key < $1.key }) {
      guard let text = status[field]?["data"]?.string, !text.isEmpty else { continue }
      // Each code point is a byte.
      let path = folder.appending(file)
      try Files.append(text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }, to: path)
      changes.append(Change(file: file, size: Files.status(of: path)?.size ?? 0))
    }
    if let text = status["screen"]?["png"]?.string, let png = Base64.decode(text) {
      try Files.replace(folder.appending(LiveFiles.screen), with: png)
      changes.append(Change(file: LiveFiles.screen, size: Int64(png.count)))
    }
    return changes
  }

  /// The status without what is in files: that is no part of what is known of a job.
  static func rest(of status: JSON) -> JSON {
    var rest = status
    for field in logs.keys where rest[field]?["data"] != nil {
      rest[field] = ["offset": status[field]?["offset"] ?? 0]
    }
    if let name = status["screen"]?["name"] { rest["screen"] = ["name": name] }
    return rest
  }
}
