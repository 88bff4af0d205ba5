package import Support

/// The body of `POST jobs/ID/status` (protocol §6).
package enum JobStatus: Sendable, Hashable {
  /// Still setting up: keeps the web UI from thinking the worker dead. What is waited for goes with it for whoever looks at
  /// what comes in; web UIs take no notice of that.
  case setup(workerID: Int64, waitingFor: String? = nil)
  /// Stopping began: the job's state becomes uploading.
  case uploading(workerID: Int64)
  case results(Results)

  /// What one pass over the results found.
  package struct Results: Sendable, Hashable {
    package var workerID: Int64
    package var commandServerURL: String
    package var workerHostname: String
    /// Nil, or why the test pauses.
    package var pauseReason: String?
    /// Entries of test_order; nil where nothing was collected.
    package var testOrder: [JSON]?
    /// JSON text for each module.
    package var modules: [String: [UInt8]] = [:]

    package init(workerID: Int64, commandServerURL: String, workerHostname: String) {
      self.workerID = workerID
      self.commandServerURL = commandServerURL
      self.workerHostname = workerHostname
    }
  }

  /// The value of a module that runs and has no result yet.
  package static let runningModule = Array(#"{"result":"running"}"#.utf8)

  /// The request's body.
  package var body: [UInt8] {
    var output = Array(#"{"status":"#.utf8)
    switch self {
    case .setup(let id, let wait):
      var json: JSON = ["setup": 1, "worker_id": .integer(id)]
      json["setup_progress"] = wait.map { .string($0) }
      json.write(to: &output)
    case .uploading(let id): JSON.object(["uploading": 1, "worker_id": .integer(id)]).write(to: &output)
    case .results(let results): results.write(to: &output)
    }
    output.append(UInt8(ascii: "}"))
    return output
  }

  /// The web UI's answer; what is missing leaves what was known before in force.
  package struct Answer: Sendable, Hashable {
    /// MD5 sums of images that need not be sent.
    package var knownImages: Set<String>?
    /// Names of text and audio files that need not be sent.
    package var knownFiles: Set<String>?

    package init(_ json: JSON) {
      knownImages = json["known_images"]?.array.map { Set($0.compactMap(\.string)) }
      knownFiles = json["known_files"]?.array.map { Set($0.compactMap(\.string)) }
    }
  }
}

extension JobStatus.Results {
  fileprivate func write(to output: inout [UInt8]) {
    var fields: JSON = [
      "cmd_srv_url": .string(commandServerURL),
      "test_execution_paused": pauseReason.map { .string($0) } ?? 0,
      "worker_hostname": .string(workerHostname),
      "worker_id": .integer(workerID),
    ]
    if let testOrder { fields["test_order"] = .array(testOrder) }
    fields.write(to: &output)
    guard !modules.isEmpty else { return }
    output.removeLast()
    output.append(contentsOf: #","result":{"#.utf8)
    for (index, module) in modules.sorted(by: { $0.key < $1.key }).enumerated() {
      if index > 0 { output.append(UInt8(ascii: ",")) }
      JSON.write(module.key, to: &output)
      output.append(UInt8(ascii: ":"))
      output.append(contentsOf: module.value)
    }
    output.append(contentsOf: "}}".utf8)
  }
}
