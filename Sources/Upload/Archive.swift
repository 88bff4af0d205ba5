import Glibc
package import Support
package import SystemPackage

/// Results that no web UI has taken, kept on this host for people to read: a folder for each job, within limits of size and
/// age. All its methods block.
package struct Archive: Sendable, Hashable {
  /// What is said of a job that is kept.
  package struct Summary: Sendable, Hashable {
    package var job: Int64
    /// The job's name, if its settings have one.
    package var name: String
    /// The web UI that gave it.
    package var webUI: String
    /// How it ended.
    package var result: String
    /// Why the web UI has not got the results.
    package var problem: String

    package init(job: Int64, name: String, webUI: String, result: String, problem: String) {
      self.job = job
      self.name = name
      self.webUI = webUI
      self.result = result
      self.problem = problem
    }
  }

  /// A job that is kept.
  package struct Entry: Sendable, Hashable {
    /// Names its folder.
    package var id: String
    package var summary: Summary
    /// When it was kept, UTC.
    package var time: String
    /// The files, relative to its folder, in their order.
    package var files: [String]
    package var bytes: Int64
    fileprivate var seconds: Int
  }

  /// What is too large is not kept: assets can be made again.
  private static let folders = ["testresults", "ulogs"]
  private static let summaryFile = "job.json"

  package let folder: FilePath
  /// Bytes of all that is kept; 0 keeps nothing.
  private let limit: Int64
  private let maximumAge: Duration

  /// - Parameters:
  ///   - limit: bytes of all that is kept, the oldest go first; 0 keeps nothing.
  ///   - maximumAge: what is older goes as well.
  package init(_ folder: FilePath, limit: Int64, maximumAge: Duration) {
    self.folder = folder
    self.limit = limit
    self.maximumAge = maximumAge
  }

  /// Keeps the results and logs that are in a pool, with the secrets taken out. The pool stays as it is.
  /// - Returns: where they are; nil if nothing is to be kept.
  /// - Throws: `FileError`.
  package func keep(_ pool: FilePath, _ summary: Summary, now: Int = time(nil)) throws(FileError) -> FilePath? {
    guard limit > 0 else { return nil }
    let time = Timestamp.utc(seconds: now)
    let stamp = String(time.filter { $0.isNumber })
    let place = folder.appending("\(summary.job)-\(stamp)")
    // Under its name when it is complete.
    let beginning = folder.appending(".\(summary.job)-\(stamp)")
    do throws(FileError) {
      try Files.makeDirectory(beginning)
      try Files.setPermissions(folder, to: FilePermissions(rawValue: 0o750))
      for path in try LogFiles.find(in: pool).found where path.kind == .log {
        try copy(path.path, to: beginning.appending(path.name))
      }
      for name in Archive.folders {
        let source = pool.appending(name)
        for path in try Files.entries(in: source) {
          guard Files.status(of: path, followsLinks: false)?.kind == .file else { continue }
          try Files.makeDirectory(beginning.appending(name))
          try copy(path, to: beginning.appending(name).appending(Files.name(of: path)))
        }
      }
      try Files.replace(beginning.appending(Archive.summaryFile), with: summary.json(time: time).bytes)
      try Files.move(beginning, to: place)
    } catch {
      try? Files.remove(beginning)
      throw error
    }
    try prune(now: now)
    return place
  }

  /// Secrets stay out; what is on the same file system needs no more space.
  private func copy(_ source: FilePath, to path: FilePath) throws(FileError) {
    if Files.name(of: source) == "vars.json" {
      guard let content = try Files.read(source), let redacted = try? Redaction.redact(content) else { return }
      return try Files.replace(path, with: redacted)
    }
    do { try Files.hardLink(path, to: source) } catch {
      guard error.errno == .improperLink else { throw error }
      if let content = try Files.read(source, limit: 1 << 30) { try Files.replace(path, with: content) }
    }
  }

  /// What is kept, the newest first.
  /// - Throws: `FileError` if the folder cannot be read.
  package func entries() throws(FileError) -> [Entry] {
    var entries: [Entry] = []
    for id in try Files.names(in: folder) where !id.hasPrefix(".") {
      if let entry = try entry(id) { entries.append(entry) }
    }
    return entries.sorted { ($0.seconds, $0.id) > ($1.seconds, $1.id) }
  }

  /// What is kept under a name; nil for nothing.
  /// - Throws: `FileError` if it cannot be read.
  package func entry(_ id: String) throws(FileError) -> Entry? {
    let place = folder.appending(id)
    guard !id.contains("/"), !id.hasPrefix("."), let status = Files.status(of: place.appending(Archive.summaryFile)),
      let content = try Files.read(place.appending(Archive.summaryFile), limit: 1 << 20),
      let json = try? JSON(parsing: content), let summary = Summary(json)
    else { return nil }
    var files: [String] = []
    var bytes: Int64 = 0
    for prefix in [""] + Archive.folders.map({ "\($0)/" }) {
      for path in try Files.entries(in: place.appending(prefix)) {
        guard let status = Files.status(of: path, followsLinks: false), status.kind == .file else { continue }
        files.append(prefix + Files.name(of: path))
        bytes += status.size
      }
    }
    return Entry(
      id: id, summary: summary, time: json["time"]?.string ?? "", files: files, bytes: bytes,
      seconds: status.modified[0])
  }

  /// Forgets what is kept under a name.
  /// - Returns: whether there was something.
  /// - Throws: `FileError`.
  package func remove(_ id: String) throws(FileError) -> Bool {
    guard try entry(id) != nil else { return false }
    try Files.remove(folder.appending(id))
    return true
  }

  /// Forgets what is too old, and the oldest as long as there is too much.
  /// - Throws: `FileError`.
  package func prune(now: Int = time(nil)) throws(FileError) {
    var bytes: Int64 = 0
    for entry in try entries() {
      bytes = bytes.addingSaturating(entry.bytes)
      if bytes > limit || entry.seconds < now.addingSaturating(-Int(saturating: maximumAge / .seconds(1))) {
        _ = try remove(entry.id)
      }
    }
  }
}

extension Archive.Summary {
  fileprivate init?(_ json: JSON) {
    guard let job = json["job"]?.integer else { return nil }
    func text(_ key: String) -> String { json[key]?.string ?? "" }
    self.init(
      job: job, name: text("name"), webUI: text("web_ui"), result: text("result"), problem: text("problem"))
  }

  fileprivate func json(time: String) -> JSON {
    [
      "job": .integer(job), "name": .string(name), "web_ui": .string(webUI), "result": .string(result),
      "problem": .string(problem), "time": .string(time),
    ]
  }
}
