import Support

extension LocalJob {
  /// The outcome of a status.
  struct StatusOutcome: Sendable, Hashable {
    var refusal: Refusal?
    var answer: JSON = ["result": 1]
    /// The accepted logs and screen.
    var live: [String: JSON] = [:]
  }

  /// Checks that a status comes from the worker that has the job.
  /// - Parameter sender: the status's `worker_id`.
  /// - Throws: ``Refusal``.
  func checkSender(_ sender: JSON?) throws(Refusal) {
    guard let sender, sender != .null else {
      throw Refusal(400, "Got status update for job \(id) but does not contain a worker id!")
    }
    let name =
      switch sender {
      case .array: "ARRAY(0x0)"
      case .object: "HASH(0x0)"
      default: sender.scalar ?? ""
      }
    let expected = state == .done ? nil : worker
    if expected == nil, state != .done {
      throw Refusal(
        400,
        "Got status update for job \(id) and worker \(name) but there is not even a worker assigned to this job"
          + " (job is \(stateInWords))")
    }
    guard let expected, sender.looseNumber == Double(expected) else {
      throw Refusal(
        400,
        "Got status update for job \(id) with unexpected worker ID \(name)"
          + " (expected \(expected.map { String($0) } ?? "no updates anymore"), job is \(stateInWords))")
    }
  }

  private var stateInWords: String {
    state == .done ? "done with result \(result ?? "none")" : state.rawValue
  }

  /// Takes the status that `POST jobs/ID/status` brings, as far as openQA would.
  /// - Parameter storedImages: the MD5 sums of all images there are, those of other jobs included.
  mutating func take(status: [String: JSON], storedImages: Set<String>) -> StatusOutcome {
    do throws(Refusal) { try checkSender(status["worker_id"]) } catch { return StatusOutcome(refusal: error) }
    // Nothing else of such a status is looked at.
    if status["uploading"]?.isTruthy == true {
      state = .uploading
      record(status)
      return StatusOutcome()
    }
    if state != .uploading { state = .running }
    let check = StatusCheck(status, modules: Set(modules.map(\.name)))
    for entry in check.order { add(entry) }
    var named = NamedFiles()
    for module in check.results { take(module, &named) }
    if let refusal = check.refusal { return StatusOutcome(refusal: refusal, live: check.live) }
    record(status)
    let answer: JSON = [
      "result": 1,
      "known_images": .array(storedImages.intersection(named.images).sorted().map { .string($0) }),
      "known_files": .array(files.intersection(named.files).sorted().map { .string($0) }),
      "job_result": .string(computedResult),
    ]
    return StatusOutcome(answer: answer, live: check.live)
  }

  /// The MD5 sums of images and the names of other files that a status names.
  private struct NamedFiles {
    var images: Set<String> = []
    var files: Set<String> = []
  }

  private mutating func add(_ entry: StatusCheck.Entry) {
    let isKnown = modules.contains {
      $0.name == entry.name && $0.category == entry.category && $0.script == entry.script
    }
    guard !isKnown else { return }
    modules.append(
      Module(name: entry.name, category: entry.category, script: entry.script, flags: .object(entry.flags)))
  }

  private mutating func take(_ part: StatusCheck.ModuleResult, _ named: inout NamedFiles) {
    guard let index = modules.firstIndex(where: { $0.name == part.name }) else { return }
    modules[index].result = LocalJob.result(of: part.content)
    guard part.hasDetails else { return }
    modules[index].content = .object(part.content)
    for step in part.content["details"]?.array ?? [] {
      if let screenshot = step["screenshot"], screenshot.isTruthy {
        guard let name = screenshot["name"]?.string, let md5 = screenshot["md5"]?.string else { continue }
        note(image: md5, as: name)
        named.images.insert(md5)
      }
      for kind in ["text", "audio"] {
        guard let file = step[kind]?.string else { continue }
        note(file: file)
        named.files.insert(file)
      }
    }
  }

  /// Returns a module's result in openQA's words, found as openQA does: by replacing parts of the text.
  static func result(of content: [String: JSON]) -> String {
    guard let given = content["result"], given.isTruthy, case let text = given.storedText ?? "", given != true else {
      return "none"
    }
    var result = text.replacing("fail", with: "failed", maxReplacements: 1)
    for (start, word) in [("na", "none"), ("ok", "passed"), ("unk", "none"), ("skip", "skipped")]
    where result.hasPrefix(start) {
      result = word + result.dropFirst(start.count)
    }
    return result == "passed" && content["dents"]?.isTruthy == true ? "softfailed" : result
  }

  /// The result that the modules' results amount to.
  var computedResult: String {
    var overall: String?
    for module in modules {
      switch module.result {
      case _ where module.flags["ignore_failure"]?.isTruthy == true: overall = overall ?? "passed"
      case "passed", "skipped": overall = overall ?? "passed"
      case "softfailed": if overall == nil || overall == "passed" { overall = "softfailed" }
      default: overall = "failed"
      }
    }
    return overall ?? "incomplete"
  }
}
