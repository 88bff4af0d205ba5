import HTTPServer
import OpenQAProtocol
import Support
import SystemPackage

extension LocalServer {
  /// Responds to a worker's request.
  func respond(to request: ServerRequest) async throws -> ServerResponse {
    do { return try await route(request) } catch let refusal as Refusal { return refusal.response(to: request) }
  }

  private func route(_ request: ServerRequest) async throws -> ServerResponse {
    var parts = request.path.split(separator: "/").map(String.init)
    // The live handler is a service of its own elsewhere.
    let isLiveHandler = parts.first == "liveviewhandler"
    if isLiveHandler { parts.removeFirst() }
    guard parts.count > 2, parts[0] == "api", parts[1] == "v1" else { throw Refusal.unknownPath }
    switch (request.method, parts[2], parts.count) {
    case ("GET", "workers", 3), ("HEAD", "workers", 3): return .json(["workers": []])
    case ("POST", "workers", 3): return try await register(request)
    case ("GET", "jobs", 4): return try show(try LocalServer.number(parts[3]))
    case ("GET", "ws", 4): return try upgrade(request, worker: try LocalServer.number(parts[3]))
    case ("POST", "jobs", 5):
      let id = try LocalServer.number(parts[3])
      switch parts[4] {
      case "upload_progress" where isLiveHandler: return try await takeProgress(request, of: id)
      case "status": return try await takeStatus(request, of: id)
      case "artefact": return try await takeArtefact(request, of: id)
      case "upload_state": return try await takeUploadState(request, of: id)
      case "set_done": return try await finish(id, request)
      case "duplicate": return try await duplicate(request, of: id)
      default: throw Refusal.unknownPath
      }
    default: throw Refusal.unknownPath
    }
  }

  /// Returns the number in a path.
  private static func number(_ text: String) throws(Refusal) -> Int64 {
    guard text.allSatisfy({ $0.isASCII && $0.isNumber }) else { throw .unknownPath }
    guard let number = Int64(text) else { throw .internalError }
    return number
  }

  /// The parameters of a request: those of the query count more than those of a form, so they come last.
  private static func parameters(of request: ServerRequest) async throws -> [(name: String, value: String)] {
    guard request.headers["Content-Type"]?.hasPrefix("application/x-www-form-urlencoded") == true else {
      return request.query
    }
    return try await request.form() + request.query
  }

  private func register(_ request: ServerRequest) async throws -> ServerResponse {
    let parameters = try await LocalServer.parameters(of: request)
    let registration = try RegistrationCheck(parameters)
    let version = parameters.first { $0.name == "isotovideo_interface_version" }?.value
    if interfaceVersions.last != version { interfaceVersions.append(version) }
    let (worker, left) = board.register(
      host: registration.host, instance: String(registration.instance), classes: registration.classes,
      naming: registration.jobs)
    for job in left { changed(job) }
    return .json(["id": .integer(worker), "service_port_delta": 0])
  }

  private func upgrade(_ request: ServerRequest, worker: Int64) throws(Refusal) -> ServerResponse {
    guard worker != 0 else { return .text("No worker ID", status: 400) }
    guard board.workers[worker] != nil else { return .text("Unknown worker", status: 400) }
    guard request.wantsWebSocket else { throw .unknownPath }
    return .webSocket { await self.converse($0, with: worker) }
  }

  private func takeProgress(_ request: ServerRequest, of id: Int64) async throws -> ServerResponse {
    guard let job = board.jobs[id] else { throw Refusal.unknownPath }
    guard let progress = try? JSON(parsing: try await request.body.collect(upTo: 1 << 16)) else {
      throw Refusal(400, "No progress information provided")
    }
    guard job.worker != nil, job.state != .done else { throw Refusal(400, "The job as no assigned worker") }
    out.yield(.progress(job: id, progress))
    return .json(["broadcast_count": 0])
  }

  private func duplicate(_ request: ServerRequest, of id: Int64) async throws -> ServerResponse {
    if let text = try await LocalServer.parameters(of: request).last(where: { $0.name == "dup_type_auto" })?.value {
      guard let number = Int64(text), number >= 0 else { throw Refusal(parameters: ["dup_type_auto": .invalid]) }
    }
    // openQA accepts these, without a copy.
    guard let job = board.jobs[id] else { return .json(["result": [], "test_url": []]) }
    if let copy = job.copy {
      let error = "Specified job \(id) has already been cloned as \(copy)"
      return .json(["result": [], "test_url": [], "errors": [.string(error)]])
    }
    let copy = await schedule(job.settings)
    _ = board.change(id) { $0.copy = copy }
    let name = String(id)
    return .json([
      "id": .integer(copy), "result": [.object([name: .integer(copy)])],
      "test_url": [.object([name: .string("/tests/\(copy)")])],
    ])
  }

  private func finish(_ id: Int64, _ request: ServerRequest) async throws -> ServerResponse {
    let parameters = try await LocalServer.parameters(of: request)
    guard let job = board.jobs[id] else { throw Refusal(404, "Job does not exist") }
    let end = try EndCheck(parameters, of: job)
    // A thumbnail comes after its image.
    try? await linkImages(of: id)
    board.finish(id, end)
    changed(id)
    if let worker = job.worker { await hand(to: worker) }
    return .json([
      "result": board.jobs[id]?.result.map { .string($0) } ?? nil, "reason": end.reason.map { .string($0) } ?? nil,
    ])
  }

  // MARK: Status

  private func takeStatus(_ request: ServerRequest, of id: Int64) async throws -> ServerResponse {
    let body = try await request.body.collect(upTo: 256 << 20)
    let status = try StatusCheck.status(in: body, of: id, isKnown: board.jobs[id] != nil)
    let images = Set(storedImages.keys)
    guard let outcome = board.change(id, { $0.take(status: status, storedImages: images) }) else {
      throw Refusal.internalError
    }
    try await linkImages(of: id)
    changed(id)
    let live = LiveFiles(folder: folder.appending(String(id)))
    for change in try await lane.run({ try live.take(.object(outcome.live)) }) {
      if change.file == LiveFiles.screen { screens[id, default: 0] += 1 }
      out.yield(.live(job: id, file: change.file, size: change.size))
      changes.change { $0 += 1 }
    }
    if let refusal = outcome.refusal { throw refusal }
    return .json(outcome.answer)
  }

  /// Gives a job the images that its results name and that have arrived under other names.
  private func linkImages(of id: Int64) async throws {
    guard let job = board.jobs[id] else { return }
    let home = folder.appending(String(id))
    var linked: Set<String> = []
    for (name, sum) in job.screenshots where !job.files.isSuperset(of: [name, ".thumbs/\(name)"]) {
      guard ArtefactCheck.isPlain(name), let image = storedImages[sum].map({ folder.appending($0) }) else {
        continue
      }
      let small = image.removingLastComponent().appending(".thumbs").appending(Files.name(of: image))
      linked.formUnion(
        try await lane.run {
          var places: Set<String> = []
          try Files.makeDirectory(home.appending(".thumbs"))
          for (source, place) in [(image, name), (small, ".thumbs/\(name)")] where Files.exists(source) {
            if !Files.exists(home.appending(place)) { try Files.hardLink(home.appending(place), to: source) }
            places.insert(place)
          }
          return places
        })
    }
    if !linked.isEmpty { _ = board.change(id) { $0.files.formUnion(linked) } }
  }

  // MARK: Uploads

  private func takeArtefact(_ request: ServerRequest, of id: Int64) async throws -> ServerResponse {
    guard let job = board.jobs[id] else { throw Refusal(404, "Specified job \(id) does not exist") }
    guard job.worker != nil, job.state != .done else { throw Refusal(404, "No worker assigned") }
    arrivals += 1
    let home = folder.appending(String(id))
    let temporary = home.appending(".arriving-\(arrivals)")
    try await lane.run {
      for name in [".thumbs", "ulogs"] { try Files.makeDirectory(home.appending(name)) }
    }
    let arrived = try await ArrivingArtefact(request, to: temporary, on: lane)
    let artefact: ArtefactCheck
    do throws(Refusal) {
      artefact = try ArtefactCheck(filename: arrived.filename, fields: arrived.fields)
    } catch {
      try await lane.run { if Files.exists(temporary) { try Files.remove(temporary) } }
      throw error
    }
    if case .asset(let scope) = artefact.kind {
      return try await take(ArrivingAsset(scope: scope, name: artefact.name), artefact, at: temporary, of: id)
    }
    let place = artefact.place
    try await lane.run { try Files.move(temporary, to: home.appending(place)) }
    if case .image(let sum, false) = artefact.kind { storedImages[sum] = "\(id)/\(place)" }
    _ = board.change(id) { $0.files.insert(place) }
    out.yield(.arrived(job: id, file: place))
    return .text("OK")
  }

  private func take(
    _ asset: ArrivingAsset, _ artefact: ArtefactCheck, at temporary: FilePath, of id: Int64
  ) async throws -> ServerResponse {
    let home = folder.appending(String(id))
    do {
      let isComplete = try await lane.run {
        guard let path = artefact.localPath else { return try asset.take(chunk: temporary, in: home) }
        if Files.exists(temporary) { try Files.remove(temporary) }
        try asset.copy(FilePath(path), in: home)
        return true
      }
      if isComplete, board.jobs[id]?.files.contains(asset.place) == true {
        // openQA replaces the file, cannot make it the job's once more, and never answers: the proxy in front does.
        throw Refusal(502, "Bad Gateway")
      }
      if isComplete {
        _ = board.change(id) { $0.files.insert(asset.place) }
        out.yield(.arrived(job: id, file: asset.place))
      }
      return .json(["status": "ok"])
    } catch let refusal as Refusal {
      throw refusal
    } catch {
      // Whatever it is, the worker may try again.
      throw Refusal(500, "Failed receiving asset: \(error)")
    }
  }

  /// Shows what a worker asks of its job: the assets that are registered as the job's.
  private func show(_ id: Int64) throws(Refusal) -> ServerResponse {
    guard let job = board.jobs[id] else { throw Refusal(404, "Job does not exist") }
    let assets = job.files.compactMap { file -> JSON? in
      let parts = file.split(separator: "/", maxSplits: 2)
      guard parts.count == 3, parts[0] == "assets" else { return nil }
      let number = String(id)
      let prefix = String(repeating: "0", count: max(0, 8 - number.count)) + number
      return .string(parts[1] == "private" ? "\(prefix)-\(parts[2])" : String(parts[2]))
    }
    return .json(["job": ["id": .integer(id), "assets": ["other": .array(assets)]]])
  }

  /// Takes the notice that a worker gives up on an asset. openQA looks neither at the job nor at the names.
  private func takeUploadState(_ request: ServerRequest, of id: Int64) async throws -> ServerResponse {
    let parameters = try await LocalServer.parameters(of: request)
    func value(_ name: String) -> String? { parameters.last { $0.name == name }?.value }
    let missing = ["filename", "scope", "state"].filter { value($0) == nil }
    guard missing.isEmpty else {
      let refusal = Refusal(parameters: Dictionary(uniqueKeysWithValues: missing.map { ($0, .missing) }))
      return .text(refusal.error ?? "", status: refusal.status)
    }
    let name = value("filename") ?? ""
    if value("state") == "fail", board.jobs[id] != nil, ArtefactCheck.isPlain(name) {
      let asset = ArrivingAsset(scope: value("scope") ?? "", name: name)
      let home = folder.appending(String(id))
      try await lane.run { asset.discard(in: home) }
    }
    return .text("OK")
  }
}
