import Foundation
import Support
import SystemPackage
import TestSupport
import Testing
import Transport

/// Debian's chromium without a window, told what to do over its DevTools' WebSocket.
final class Browser: Sendable {
  /// Where it is, if it is installed: it is none of the packages that tests need.
  static let program = "/usr/bin/chromium"
  static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: program) }

  private let folder: TemporaryFolder
  private let pid: Int32
  private let end: Latch<Void>
  private let connection: WebSocketConnection

  /// Opens a page.
  init(_ url: String) async throws {
    let folder = try TemporaryFolder()
    let process = Process()
    process.executableURL = URL(filePath: Browser.program)
    process.arguments = [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-breakpad",
      "--no-proxy-server",
      "--remote-debugging-port=0", "--user-data-dir=\(folder.path)", url,
    ]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    let end = Latch<Void>()
    process.terminationHandler = { _ in end.open(with: ()) }
    let watcher = FileWatcher { _ in }
    let watch = try watcher.watch(folder.path, for: [.created, .written, .movedIn])
    try process.run()
    (self.folder, pid, self.end) = (folder, process.processIdentifier, end)
    var port = ""
    for await _ in watch {
      let text = String(decoding: try Files.read(folder.path.appending("DevToolsActivePort")) ?? [], as: UTF8.self)
      port = text.split(separator: "\n").first.map(String.init) ?? ""
      if !port.isEmpty { break }
    }
    let http = try HTTPClient(HTTPClient.Configuration(proxies: .none))
    let list = try await http.send(HTTPRequest(.get, "http://127.0.0.1:\(port)/json/list"))
    await http.shutdown()
    let pages = try JSON(parsing: list.body).array ?? []
    let page = try #require(pages.first { $0["type"] == "page" }?["webSocketDebuggerUrl"]?.string)
    connection = try await WebSocketClient(proxies: .none).connect(WebSocketRequest(page))
  }

  /// A test that fails leaves none behind.
  deinit { if end.value == nil { kill(pid, SIGKILL) } }

  /// The page's HTML, as soon as such an expression of JavaScript holds.
  func document(when condition: String) async throws -> String {
    let expression = """
      new Promise(resolve => {
        const holds = () => { try { return \(condition) } catch { return false } };
        const look = () => holds() && resolve(document.documentElement.outerHTML);
        new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
        // An image that has come changes nothing else.
        document.addEventListener('load', look, true);
        look();
      })
      """
    let request: JSON = [
      "id": 1, "method": "Runtime.evaluate",
      "params": ["expression": .string(expression), "awaitPromise": true, "returnByValue": true],
    ]
    try await connection.send(request.text)
    for await text in connection.messages {
      let message = try JSON(parsing: text)
      guard message["id"] == 1 else { continue }
      if let document = message["result"]?["result"]?["value"]?.string { return document }
      // The page came in the place of the empty one.
      try await connection.send(request.text)
    }
    return ""
  }

  func close() async throws {
    await connection.close()
    kill(pid, SIGTERM)
    try await end.reached()
  }
}
