import HTTPServer
import OpenQAProtocol
import Support
import SystemPackage

/// The page for people: a job as it runs, and what came of it. `GET /` for the newest job, `GET /?job=ID` for any.
extension LocalServer {
  /// Bytes of the log that a page gets at once.
  private static let logPiece = 1 << 16

  /// Whether a request is of a browser, which cannot sign.
  nonisolated static func isForPage(_ request: ServerRequest) -> Bool {
    request.method == "GET" && !request.path.hasPrefix("/api/") && !request.path.hasPrefix("/liveviewhandler/")
  }

  /// Answers a browser.
  func show(_ request: ServerRequest) async throws -> ServerResponse {
    let parts = request.path.split(separator: "/").map(String.init)
    switch parts.first {
    case nil:
      return ServerResponse(headers: ["Content-Type": "text/html; charset=utf-8"], body: PackageResources.page_html)
    case "events" where parts.count == 1:
      let wanted = request.query("job").flatMap { Int64($0) }
      return .events { try await self.tell($0, of: wanted) }
    case "files" where parts.count > 2:
      let name = parts.dropFirst(2).joined(separator: "/")
      // Only what there is of the job, whatever a path may say.
      guard let id = Int64(parts[1]), let job = board.jobs[id],
        job.files.contains(name) || name == LiveFiles.screen || name == LiveFiles.log
      else { break }
      let path = folder.appending(parts[1]).appending(name)
      guard let content = try await lane.run({ try Files.read(path) }) else { break }
      let type = name.hasSuffix(".png") ? "image/png" : "text/plain; charset=utf-8"
      return ServerResponse(
        headers: ["Content-Type": type, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"], body: content
      )
    default: break
    }
    return .text("not found\n", status: 404)
  }

  /// Tells a page all that happens to a job, until the job's end or the page's.
  private func tell(_ writer: ResponseWriter, of wanted: Int64?) async throws {
    var seen = 0
    while board.jobs.isEmpty { seen = try await changes.wait { $0 != seen } }
    guard let id = wanted ?? board.jobs.keys.max(), board.jobs[id] != nil else { return }
    var (shown, screen, offset, isViewer) = (JSON.null, 0, Int64(0), false)
    defer { if isViewer { post(.stopLiveLog, for: id) } }
    while let job = board.jobs[id] {
      seen = changes.value
      if !isViewer, job.state == .running {
        isViewer = true
        post(.startLiveLog, for: id)
      }
      let page = job.page(images: storedImages)
      if page != shown {
        shown = page
        try await writer.sendEvent(shown.text, name: "job")
      }
      if job.state == .done { return try await writer.sendEvent("", name: "end") }
      if let newest = screens[id], newest != screen {
        screen = newest
        try await writer.sendEvent("/files/\(id)/\(LiveFiles.screen)?\(newest)", name: "screen")
      }
      let piece = try await logPiece(of: id, from: offset)
      offset += Int64(piece.count)
      if piece.isEmpty {
        try await changes.wait { $0 != seen }
      } else {
        try await writer.sendEvent(JSON.string(String(decoding: piece, as: UTF8.self)).text, name: "log")
      }
    }
  }

  /// What comes next in the log of a running job, whole lines if there are some.
  private func logPiece(of job: Int64, from offset: Int64) async throws -> ArraySlice<UInt8> {
    let path = folder.appending(String(job)).appending(LiveFiles.log)
    let piece = try await lane.run { try Files.read(path, from: offset, limit: LocalServer.logPiece) }
    guard let end = piece.lastIndex(of: UInt8(ascii: "\n")) else {
      return piece.count == LocalServer.logPiece ? piece[...] : []
    }
    return piece[...end]
  }
}

extension LocalJob {
  /// What a page shows of it.
  /// - Parameter stored: where images are, by their MD5 sums.
  fileprivate func page(images stored: [String: String]) -> JSON {
    return [
      "id": .integer(id), "name": .string(name), "state": .string(state.rawValue),
      "result": result.map { .string($0) } ?? nil, "reason": reason.map { .string($0) } ?? nil,
      "modules": .array(
        modules.map { module in
          let steps = module.content["details"]?.array ?? []
          let screenshots = steps.compactMap { step -> JSON? in
            guard let shot = step["screenshot"], let name = shot["name"],
              let place = shot["md5"]?.string.flatMap({ stored[$0] })
            else { return nil }
            return ["name": name, "url": .string("/files/\(place)")]
          }
          return [
            "name": .string(module.name), "result": .string(module.result), "screenshots": .array(screenshots),
          ]
        }),
      "logs": .array(files.filter { !$0.hasSuffix(".png") && !$0.hasPrefix(".") }.sorted().map { .string($0) }),
    ]
  }
}
