import OpenQAProtocol
package import Support

/// A job as the embedded web UI knows it: what was asked for, and what its worker has told of it.
package struct LocalJob: Sendable, Hashable {
  /// What a job goes through, in this order.
  package enum State: String, Sendable, Hashable {
    case scheduled
    /// Given to a worker, which has not said anything of it yet.
    case assigned
    case setup
    case running
    case uploading
    case done
  }

  /// A test module.
  package struct Module: Sendable, Hashable {
    package var name: String
    package var category: String
    package var flags: JSON
    /// `none`, `running`, `passed`, `softfailed` or `failed`.
    package var result = "none"
    /// The module's result as its worker sent it last.
    package var content: JSON = .null
  }

  /// What a worker gets to hear of a status.
  package enum Reply: Sendable, Hashable {
    case answer(JSON)
    /// The job is not this worker's, or over.
    case refusal(String)
  }

  package let id: Int64
  package let settings: [String: JSON]
  /// The job after which this one runs, on the same worker and right away; nil for a job that waits for none.
  package let parent: Int64?
  package internal(set) var state = State.scheduled
  /// Nil before the end.
  package internal(set) var result: String?
  package internal(set) var reason: String?
  package internal(set) var worker: Int64?
  package internal(set) var modules: [Module] = []
  /// Names of images by the MD5 sum that isotovideo wrote them with, as far as results name them.
  package private(set) var namedImages: [String: String] = [:]
  /// The MD5 sums of screenshots by their names; several can have the same.
  private(set) var screenshots: [String: String] = [:]
  /// Names of texts and sounds that results name.
  package private(set) var namedFiles: Set<String> = []
  /// Files that are there, relative to the job's folder.
  package internal(set) var files: Set<String> = []
  /// How often its end was told.
  package internal(set) var timesEnded = 0
  /// Each status, in order.
  package private(set) var statuses: [JSON] = []

  init(id: Int64, settings: [String: JSON], parent: Int64? = nil) {
    self.id = id
    self.settings = settings
    self.parent = parent
  }

  /// DISTRI-VERSION-…: what jobs are called.
  package var name: String {
    func text(_ key: String) -> String? { settings[key]?.scalar.flatMap { $0.isEmpty ? nil : $0 } }
    let parts = [
      text("DISTRI"), text("VERSION"), text("FLAVOR"), text("ARCH"), text("BUILD").map { "Build\($0)" }, text("TEST"),
    ].compactMap { $0 }
    return parts.joined(separator: "-") + (text("MACHINE").map { "@\($0)" } ?? "")
  }

  /// Takes what `POST jobs/ID/status` brings.
  /// - Parameter storedImages: MD5 sums of all images there are, of other jobs, too.
  mutating func take(status: JSON, storedImages: Set<String>) -> Reply {
    guard state != .done else { return .refusal("Got status update for job \(id) that is already done") }
    guard let sender = status["worker_id"].flatMap(JobInfo.id(of:)), sender == worker else {
      return .refusal("Got status update for job \(id) with unexpected worker ID")
    }
    statuses.append(status)
    if status["uploading"]?.isTruthy == true {
      state = .uploading
      return .answer(["result": 1])
    }
    if status["setup"]?.isTruthy == true {
      state = .setup
      return .answer(["result": 1])
    }
    if state != .uploading { state = .running }
    for entry in status["test_order"]?.array ?? [] { add(module: entry) }
    for (name, content) in status["result"]?.object ?? [:] { take(result: content, of: name) }
    return .answer([
      "result": 1,
      "known_images": .array(storedImages.intersection(namedImages.keys).sorted().map { .string($0) }),
      "known_files": .array(files.intersection(namedFiles).sorted().map { .string($0) }),
      "job_result": .string(computedResult),
    ])
  }

  private mutating func add(module entry: JSON) {
    guard let name = entry["name"]?.string, !modules.contains(where: { $0.name == name }) else { return }
    modules.append(
      Module(name: name, category: entry["category"]?.scalar ?? "", flags: entry["flags"] ?? [:]))
  }

  private mutating func take(result content: JSON, of name: String) {
    guard let index = modules.firstIndex(where: { $0.name == name }) else { return }
    modules[index].content = content
    modules[index].result =
      switch content["result"]?.scalar ?? "" {
      case "ok", "passed": (content["dents"]?.isTruthy ?? false) ? "softfailed" : "passed"
      case "softfail", "softfailed": "softfailed"
      case "running": "running"
      case "fail", "failed": "failed"
      default: "none"
      }
    for step in content["details"]?.array ?? [] {
      if let name = step["screenshot"]?["name"]?.string, let md5 = step["screenshot"]?["md5"]?.string {
        namedImages[md5] = name
        screenshots[name] = md5
      }
      for kind in ["text", "audio"] { if let file = step[kind]?.string { namedFiles.insert(file) } }
    }
  }

  /// What the modules' results amount to.
  var computedResult: String {
    let results = modules.map(\.result)
    if modules.isEmpty || results.allSatisfy({ $0 == "none" }) { return "incomplete" }
    if results.contains(where: { $0 != "passed" && $0 != "softfailed" }) { return "failed" }
    return results.contains("softfailed") ? "softfailed" : "passed"
  }

  /// Ends the job.
  mutating func finish(result: String?, reason: String?) {
    state = .done
    self.result = result ?? computedResult
    self.reason = reason
  }
}
