package import Support
package import SystemPackage

/// Which files of a pool are uploaded when a job has ended, and under which names (protocol §7, "Logs").
package enum LogFiles {
  private static let fixed = [
    "vars.json", "autoinst-log.txt", "worker-log.txt", "worker_packages.txt", "sut_packages.txt", "serial0",
    "video_time.vtt", "serial_terminal.txt", "virtio_console.log", "virtio_console1.log", "virtio_console_user.log",
  ]

  /// The name that the web UI shows a file of the pool under.
  package static func shownName(of name: String) -> String {
    switch name {
    case "serial0": "serial0.txt"
    case "virtio_console.log": "serial_terminal.txt"
    case "virtio_console1.log": "serial_terminal1.txt"
    case "virtio_console_user.log": "serial_terminal_user.txt"
    default: name.hasSuffix(".log") ? "\(name.dropLast(4)).txt" : name
    }
  }

  /// The logs that are there, those of the test first. What is no plain file is left out: a fifo would be waited on for
  /// ever, and a link may show what is not the test's.
  ///
  /// Blocks: to be called on the pool's lane.
  /// - Throws: `FileError` if a folder cannot be read.
  package static func find(in pool: FilePath) throws(FileError) -> (found: [Artefact], skipped: [FilePath]) {
    var found: [Artefact] = []
    var skipped: [FilePath] = []
    func add(_ kind: Artefact.Kind, _ path: FilePath, as name: String) {
      let status = Files.status(of: path, followsLinks: false)
      switch status?.kind {
      case .file:
        var artefact = Artefact(kind, name: name, path: path)
        artefact.size = status?.size
        found.append(artefact)
      case .symbolicLink, .other: skipped.append(path)
      case .directory, nil: break
      }
    }
    for path in try Files.entries(in: pool.appending("ulogs")) { add(.testLog, path, as: Files.name(of: path)) }
    let videos = try Files.names(in: pool).filter { $0.hasPrefix("video.") }
    for name in videos + fixed { add(.log, pool.appending(name), as: shownName(of: name)) }
    return (found, skipped)
  }
}
