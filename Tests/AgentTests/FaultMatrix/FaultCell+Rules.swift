import TestSupport

/// How a cell's fault is put between the agent and its web UI.
extension FaultCell {
  /// A request as the proxy sees it.
  struct Target: Sendable {
    var method = "POST"
    var path: String
    var body: FaultProxy.BodyTest?

    init(_ method: String = "POST", _ path: String, _ body: FaultProxy.BodyTest? = nil) {
      self.method = method
      self.path = path
      self.body = body
    }
  }

  /// The first job's requests; nil for what goes over the WebSocket.
  var target: Target? {
    @Sendable func has(_ text: String) -> FaultProxy.BodyTest { { $0.firstRange(of: Array(text.utf8)) != nil } }
    @Sendable func field(_ name: String) -> String { "name=\"\(name)\"" }
    let (status, artefact) = ("/api/v1/jobs/1/status", "/api/v1/jobs/1/artefact")
    return switch call {
    case .locate: Target("HEAD", "/api/v1/workers")
    case .register: Target("POST", "/api/v1/workers")
    case .upgrade: Target("GET", "/api/v1/ws/")
    case .statusSetup: Target("POST", status, has(#""setup":1"#))
    case .statusResults: Target("POST", status, has(#""cmd_srv_url""#))
    case .statusUploading: Target("POST", status, has(#""uploading":1"#))
    case .statusFinal: Target("POST", status) { has(#""a":{"d"#)($0) || has(#""z":{"d"#)($0) }
    case .image: Target("POST", artefact, has("\(field("image"))\r\n\r\n1"))
    case .text: Target("POST", artefact, has("\(field("image"))\r\n\r\n0"))
    case .log: Target("POST", artefact) { !has(field("image"))($0) && !has(field("asset"))($0) }
    case .assetChunk: Target("POST", artefact, has(field("asset")))
    case .uploadState: Target("POST", "/api/v1/jobs/1/upload_state")
    case .setDone: Target("POST", "/api/v1/jobs/1/set_done")
    case .duplicate: Target("POST", "/api/v1/jobs/1/duplicate")
    case .workerStatus, .grab, .accepted, .command, .connection: nil
    }
  }

  /// Puts the fault in place.
  /// - Returns: counts how often it has struck.
  func arm(_ proxy: FaultProxy) -> EventCounter {
    let occurrences = times == .once ? 1...1 : 1...Int.max
    if call == .statusFinal { return armFinalStatus(proxy, occurrences) }
    if let target {
      return proxy.on(target.method, target.path, body: target.body, occurrences: occurrences, requestFault).applied
    }
    let (side, text) = message
    return proxy.onMessage(from: side, containing: text, occurrences: occurrences, messageFault).applied
  }

  /// The final status is one with whole results, after the web UI was told that the job is uploading.
  private func armFinalStatus(_ proxy: FaultProxy, _ occurrences: ClosedRange<Int>) -> EventCounter {
    var uploading = self
    uploading.call = .statusUploading
    guard let before = uploading.target, let target else { return EventCounter() }
    let told = proxy.on(before.method, before.path, body: before.body, .pass).applied
    let isFinal: FaultProxy.BodyTest = { told.count > 0 && target.body?($0) == true }
    return proxy.on(target.method, target.path, body: isFinal, occurrences: occurrences, requestFault).applied
  }

  private var requestFault: FaultProxy.Fault {
    switch fault {
    case .refused: .refuse
    case .reset: .reset(afterBytes: 20)
    case .silence: .hold
    case .halfJSON: Self.answer("200 OK", #"{"result":"#)
    case .wrongJSON: Self.answer("200 OK", #"{"wrong":true}"#)
    case .html: Self.answer("200 OK", "<html><body>hello</body></html>", type: "text/html")
    case .duplicate: .duplicate
    default: Self.answer("\(fault.rawValue) Trouble", #"{"error":"not there"}"#)
    }
  }

  static func answer(_ status: String, _ body: String, type: String = "application/json") -> FaultProxy.Fault {
    .answer(
      Array("HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8))
  }

  /// The message that it happens to. Of a status that is not understood, it is the answer.
  private var message: (side: MessageRule.Side, text: String) {
    let isGarbled = [.halfJSON, .wrongJSON, .html].contains(fault)
    return switch call {
    case .workerStatus where isGarbled: (.server, #""info""#)
    case .workerStatus: (.client, phase == .running ? #""status":"working""# : #""worker_status""#)
    case .accepted: (.client, #""accepted""#)
    case .grab: (.server, #""grab_job""#)
    default: (.server, #""cancel""#)
    }
  }

  private var messageFault: MessageRule.Fault {
    switch fault {
    case .refused: .cut
    case .reset: .reset
    case .silence: .drop
    case .halfJSON: .replace(#"{"type":"cancel","job"#)
    case .wrongJSON:
      .replace(call == .grab ? #"{"type":"grab_job","job":{"id":1}}"# : #"{"type":"cancel","jobid":"x"}"#)
    case .html: .replace("<html><body>hello</body></html>")
    default: .duplicate
    }
  }

  /// Whether the connection does not survive it.
  var endsConnection: Bool { fault == .refused || fault == .reset }
}
