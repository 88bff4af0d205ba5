import Foundation
import Glibc
import Support
import Testing

@Suite("ServiceNotifier", .timeLimit(.minutes(1)))
struct ServiceNotifierTests {
  @Test("messages arrive in one datagram, at a path and at an abstract name")
  func messages() async throws {
    let folder = FileManager.default.temporaryDirectory.path
    for name in ["\(folder)/notify-\(UUID().uuidString)", "@notify-\(UUID().uuidString)"] {
      let manager = try ServiceManager(at: name)
      let notifier = try #require(ServiceNotifier(environment: ["NOTIFY_SOCKET": name]))
      #expect(await notifier.send(.ready, .status("job 7:\nboots")))
      #expect(manager.receive() == "READY=1\nSTATUS=job 7: boots")
      #expect(await notifier.send(.watchdog))
      #expect(manager.receive() == "WATCHDOG=1")
      #expect(await notifier.send(.stopping))
      #expect(manager.receive() == "STOPPING=1")
    }
  }

  @Test("a reload says when it began, on the monotonic clock")
  func reloading() async throws {
    let manager = try ServiceManager(at: "@notify-\(UUID().uuidString)")
    let notifier = try #require(ServiceNotifier(environment: ["NOTIFY_SOCKET": manager.name]))
    var before = timespec()
    clock_gettime(CLOCK_MONOTONIC, &before)
    await notifier.send(.reloading)
    let lines = manager.receive().split(separator: "\n")
    #expect(lines.first == "RELOADING=1")
    let time = try #require(lines.last.flatMap { $0.hasPrefix("MONOTONIC_USEC=") ? Int($0.dropFirst(15)) : nil })
    #expect((before.tv_sec * 1_000_000...(before.tv_sec + 60) * 1_000_000).contains(time))
  }

  @Test("a full queue is waited for, a service manager that is gone is not")
  func queue() async throws {
    let name = "@notify-\(UUID().uuidString)"
    let notifier = try #require(ServiceNotifier(environment: ["NOTIFY_SOCKET": name]))
    #expect(await !notifier.send(.ready))
    let manager = try ServiceManager(at: name)
    // The kernel takes as many as net.unix.max_dgram_qlen says, and one more.
    let limit = try #require(
      Int(
        try String(contentsOfFile: "/proc/sys/net/unix/max_dgram_qlen", encoding: .utf8)
          .trimmingCharacters(in: .whitespacesAndNewlines)))
    for _ in 0...limit { #expect(await notifier.send(.watchdog)) }
    async let last = notifier.send(.stopping)
    for _ in 0...limit { #expect(manager.receive() == "WATCHDOG=1") }
    #expect(await last)
    #expect(manager.receive() == "STOPPING=1")
  }

  @Test("the environment decides who is told, and who is watched")
  func environment() {
    #expect(ServiceNotifier(environment: [:]) == nil)
    #expect(ServiceNotifier(environment: ["NOTIFY_SOCKET": ""]) == nil)
    #expect(ServiceNotifier(environment: ["NOTIFY_SOCKET": "@"]) == nil)
    #expect(ServiceNotifier(environment: ["NOTIFY_SOCKET": "vsock:2:1234"]) == nil)
    #expect(ServiceNotifier(environment: ["NOTIFY_SOCKET": "/" + String(repeating: "a", count: 200)]) == nil)
    func interval(_ variables: [String: String]) -> Duration? {
      ServiceNotifier(environment: variables.merging(["NOTIFY_SOCKET": "/run/notify"]) { $1 }, process: 42)?
        .watchdogInterval
    }
    #expect(interval([:]) == nil)
    #expect(interval(["WATCHDOG_USEC": "1500000"]) == .milliseconds(1500))
    #expect(interval(["WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "42"]) == .milliseconds(1500))
    #expect(interval(["WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "43"]) == nil)
    #expect(interval(["WATCHDOG_USEC": "0"]) == nil)
    #expect(interval(["WATCHDOG_USEC": "soon"]) == nil)
  }
}

/// The receiving side, made without the code under test.
private final class ServiceManager: Sendable {
  struct Failure: Error { var code: Int32 }

  let name: String
  private let handle: Int32

  init(at name: String) throws {
    self.name = name
    handle = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { path in
      for (index, byte) in name.utf8.enumerated() { path[index] = byte }
      if name.hasPrefix("@") { path[0] = 0 }
    }
    // An abstract name is as long as the address, a path ends with a zero.
    let length = socklen_t(2 + name.utf8.count + (name.hasPrefix("@") ? 0 : 1))
    let code = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(handle, $0, length) }
    }
    if code != 0 { throw Failure(code: errno) }
  }

  deinit {
    close(handle)
    if name.hasPrefix("/") { unlink(name) }
  }

  func receive() -> String {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(handle, &buffer, buffer.count, 0)
    return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
  }
}
