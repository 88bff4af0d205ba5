package import Support

/// What a slot says of itself when it registers (protocol §3.1).
package struct WorkerRegistration: Sendable, Hashable {
  /// The version of the worker's side of the WebSocket that this program speaks.
  package static let webSocketAPIVersion = 1

  /// `uname -n`.
  package var host: String
  package var instance: Int
  package var architecture: String
  /// `cpu_modelname`, `cpu_opmode` and `cpu_flags`, as far as they are known.
  package var processor: [String: String]
  /// MemTotal in MiB.
  package var memory: Int
  /// Comma-separated.
  package var workerClass: String
  /// The N of isotovideo's `interface vN`; 0 if unknown.
  package var isotovideoInterfaceVersion: Int?
  /// Jobs that run in parallel and depend on each other are to be on this host together, if this is as Perl's true; nil
  /// says nothing about it.
  package var parallelOneHostOnly: String?

  package init(
    host: String, instance: Int, architecture: String, processor: [String: String], memory: Int, workerClass: String,
    isotovideoInterfaceVersion: Int?, parallelOneHostOnly: String? = nil
  ) {
    self.host = host
    self.instance = instance
    self.architecture = architecture
    self.processor = processor
    self.memory = memory
    self.workerClass = workerClass
    self.isotovideoInterfaceVersion = isotovideoInterfaceVersion
    self.parallelOneHostOnly = parallelOneHostOnly
  }

  /// The parameters of the registration; `jobs` are those in hand, which the web UI would otherwise give up.
  package func parameters(jobs: [Int64]) -> [(name: String, value: String)] {
    var parameters = processor.map { (name: $0.key, value: $0.value) }
    parameters += [
      ("cpu_arch", architecture),
      ("host", host),
      ("instance", String(instance)),
      ("mem_max", String(memory)),
      ("websocket_api_version", String(WorkerRegistration.webSocketAPIVersion)),
      ("worker_class", workerClass),
    ]
    if let isotovideoInterfaceVersion {
      parameters.append(("isotovideo_interface_version", String(isotovideoInterfaceVersion)))
    }
    if let parallelOneHostOnly { parameters.append(("parallel_one_host_only", parallelOneHostOnly)) }
    parameters += jobs.map { ("job_id", String($0)) }
    return parameters.sorted { ($0.name, $0.value) < ($1.name, $1.value) }
  }

  /// The same as JSON: the body.
  package func body(jobs: [Int64]) -> JSON {
    var body: [String: JSON] = processor.mapValues { .string($0) }
    body["cpu_arch"] = .string(architecture)
    body["host"] = .string(host)
    body["instance"] = .integer(Int64(instance))
    body["isotovideo_interface_version"] = isotovideoInterfaceVersion.map { .string(String($0)) }
    body["mem_max"] = .integer(Int64(memory))
    body["websocket_api_version"] = .integer(Int64(WorkerRegistration.webSocketAPIVersion))
    body["worker_class"] = .string(workerClass)
    body["parallel_one_host_only"] = parallelOneHostOnly.map { .string($0) }
    if !jobs.isEmpty { body["job_id"] = .array(jobs.map { .integer($0) }) }
    return .object(body)
  }

  /// The web UI's answer.
  package struct Answer: Sendable, Hashable {
    /// The slot's number at that web UI.
    package var workerID: Int64
    /// Where the live handler listens, counted from the web UI's port.
    package var servicePortDelta: Int

    /// - Throws: ``ProtocolError`` for an answer without an id.
    package init(_ json: JSON) throws(ProtocolError) {
      guard let id = json["id"].flatMap(JobInfo.id(of:)) else {
        throw ProtocolError("the answer to the registration has no id")
      }
      workerID = id
      servicePortDelta = json["service_port_delta"]?.integer.flatMap { Int(exactly: $0) } ?? 2
    }
  }
}
