import Foundation
import Glibc
import Support
import Testing

/// A service manager's socket.
final class NotifySocket: Sendable {
  private let name = "@notify-\(UUID().uuidString)"
  private let handle: Int32
  private let lane: IOLane

  init() throws {
    lane = try IOLane(name: "notify")
    handle = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { path in
      for (index, byte) in name.utf8.enumerated().dropFirst() { path[index] = byte }
    }
    let length = socklen_t(2 + name.utf8.count)
    let code = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(handle, $0, length) }
    }
    try #require(code == 0)
  }

  // Wakes the lane, if it still waits.
  deinit {
    shutdown(handle, Int32(SHUT_RDWR))
    close(handle)
  }

  /// What leads to this socket.
  func notifier(watchdog: Duration? = nil) throws -> ServiceNotifier {
    var environment = ["NOTIFY_SOCKET": name]
    environment["WATCHDOG_USEC"] = watchdog.map { String(Int($0 / .microseconds(1))) }
    return try #require(ServiceNotifier(environment: environment))
  }

  /// The next message, as soon as it comes.
  func next() async throws -> String {
    let handle = handle
    return try await lane.run(limit: .seconds(30)) { Self.receive(handle) ?? "" }
  }

  /// Expects the next message to be `text`.
  func next(is text: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let message = try await next()
    #expect(message == text, sourceLocation: sourceLocation)
  }

  /// All messages up to and with the first that is `last`.
  func messages(upTo last: String) async throws -> [String] {
    var messages: [String] = []
    while messages.last != last { messages.append(try await next()) }
    return messages
  }

  /// What is there now.
  func waiting() -> [String] {
    var messages: [String] = []
    while let message = Self.receive(handle, Int32(MSG_DONTWAIT)) { messages.append(message) }
    return messages
  }

  private static func receive(_ handle: Int32, _ flags: Int32 = 0) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(handle, &buffer, buffer.count, flags)
    return count < 0 ? nil : String(decoding: buffer.prefix(count), as: UTF8.self)
  }
}
