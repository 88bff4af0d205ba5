import Glibc
import Support

/// Name resolution off every loop: `getaddrinfo` blocks for as long as the name servers are silent.
enum Resolver {
  /// The numeric addresses of `host` in the order in which to try them.
  /// - Throws: ``TransportError`` with code `resolve`, or `CancellationError`; then the look-up ends unheard.
  static func addresses(of host: String) async throws -> [String] {
    let answer = Latch<Result<[String], any Error>>()
    do {
      try ServiceThread.start(name: "resolver") { answer.open(with: Result { try lookUp(host) }) }
    } catch {
      throw TransportError(.system, "\(host): \(error)")
    }
    return try await answer.wait().get()
  }

  private static func lookUp(_ host: String) throws -> [String] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var first: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, nil, &hints, &first)
    guard code == 0 else { throw TransportError(.resolve, "\(host): \(String(cString: gai_strerror(code)))") }
    defer { freeaddrinfo(first) }
    var addresses: [String] = []
    var next = first
    while let info = next?.pointee {
      next = info.ai_next
      var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      guard getnameinfo(info.ai_addr, info.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
      else { continue }
      let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if !addresses.contains(address) { addresses.append(address) }
    }
    return addresses
  }
}
