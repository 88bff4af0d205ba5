import CTLS
import Support

/// A TCP server that says exactly what a test wants it to say, byte by byte. Each connection runs the script on a thread
/// of its own, so the script may block. It serves until ``stop()`` or as long as the process, held or not.
package final class ScriptedServer: Sendable {
  /// Where a TLS server finds its key.
  package struct Identity: Sendable {
    /// PEM file of the certificate chain.
    package var certificate: String
    /// PEM file of the private key.
    package var key: String

    /// Makes an identity.
    package init(certificate: String, key: String) {
      self.certificate = certificate
      self.key = key
    }
  }

  /// The port on 127.0.0.1.
  package var port: Int { listener.port }
  /// Connections accepted so far.
  package let accepted = EventCounter()
  private let listener: TCPListener
  private let sockets: Guarded<[TCPSocket]>

  /// Starts to serve. An error that the script throws closes its connection.
  /// - Parameter identity: makes it a TLS server.
  package init(
    identity: Identity? = nil, backlog: Int32 = 256, _ script: @escaping @Sendable (ScriptedConnection) throws -> Void
  ) throws {
    let sockets = Guarded<[TCPSocket]>([])
    self.sockets = sockets
    listener = try TCPListener(backlog: backlog, name: "scripted") { [accepted] socket in
      sockets.withLock { $0.append(socket) }
      accepted.increment()
      if let connection = try? ScriptedConnection(socket, identity) {
        try? script(connection)
        connection.close()
      }
      socket.close()
      sockets.withLock { $0.removeAll { $0 === socket } }
    }
  }

  /// Stops listening and ends all connections.
  package func stop() {
    listener.stop()
    for socket in sockets.withLock({ $0 }) { socket.shutdown() }
  }
}

/// A connection in the hands of a script. For one thread.
package final class ScriptedConnection {
  /// What a client asked for.
  package struct Request: Sendable {
    /// The request line.
    package var line: String
    /// All lines between the request line and the empty line.
    package var headers: [String]
    /// The body, if its length was given.
    package var body: [UInt8]

    /// The value of the header called `name`, in any case.
    package func header(_ name: String) -> String? {
      headers.first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
        .map { String($0.dropFirst(name.count + 1).drop { $0 == " " }) }
    }
  }

  /// The peer has closed the connection.
  package struct Ended: Error {}

  /// The socket below.
  package let socket: TCPSocket
  private var buffer: [UInt8] = []
  private let tls: OpaquePointer?

  init(_ socket: TCPSocket, _ identity: ScriptedServer.Identity?) throws {
    self.socket = socket
    guard let identity else {
      tls = nil
      return
    }
    let context = SSL_CTX_new(TLS_server_method())
    defer { SSL_CTX_free(context) }
    guard SSL_CTX_use_certificate_chain_file(context, identity.certificate) == 1,
      SSL_CTX_use_PrivateKey_file(context, identity.key, SSL_FILETYPE_PEM) == 1, let tls = SSL_new(context)
    else { throw Ended() }
    SSL_set_fd(tls, socket.rawValue)
    guard SSL_accept(tls) == 1 else {
      SSL_free(tls)
      throw Ended()
    }
    self.tls = tls
  }

  deinit { if let tls { SSL_free(tls) } }

  /// Sends `text`.
  package func write(_ text: String) throws { try write(Array(text.utf8)) }

  /// Sends `bytes`.
  package func write(_ bytes: [UInt8]) throws {
    guard let tls else { return try socket.write(bytes) }
    if SSL_write(tls, bytes, Int32(bytes.count)) <= 0 { throw Ended() }
  }

  /// Closes the connection (FIN).
  package func close() {
    if let tls { SSL_shutdown(tls) }
    socket.close()
  }

  /// Cuts the connection (RST).
  package func reset() { socket.reset() }

  /// Waits for exactly `count` bytes.
  package func read(_ count: Int) throws -> [UInt8] {
    while buffer.count < count { try fill() }
    let bytes = Array(buffer[..<count])
    buffer.removeFirst(count)
    return bytes
  }

  /// Waits for the peer to close the connection, and forgets what it says before.
  package func drain() {
    while (try? fill()) != nil { buffer.removeAll() }
  }

  /// Reads a request with its body (of known length).
  /// - Parameter keepingBody: false forgets the body while it is read.
  package func readRequest(keepingBody: Bool = true) throws -> Request {
    let end = Array("\r\n\r\n".utf8)
    var searched = 0
    while true {
      if let found = buffer[searched...].firstRange(of: end) {
        let head = String(decoding: try read(found.upperBound), as: UTF8.self)
        var lines = head.split(separator: "\r\n").map(String.init)
        var request = Request(line: lines.removeFirst(), headers: lines, body: [])
        var rest = request.header("content-length").flatMap { Int($0) } ?? 0
        while rest > 0 {
          if buffer.isEmpty { try fill() }
          let part = try read(min(rest, buffer.count))
          rest -= part.count
          if keepingBody { request.body += part }
        }
        return request
      }
      searched = max(buffer.count - 3, 0)
      try fill()
    }
  }

  /// Answers with `status` (such as "200 OK") and a body.
  package func respond(_ status: String = "200 OK", _ headers: [String] = [], body: [UInt8] = []) throws {
    let head = ["HTTP/1.1 \(status)", "Content-Length: \(body.count)"] + headers
    try write(Array((head.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body)
  }

  /// Passes bytes in both directions until one side ends.
  package func relay(to server: TCPSocket) throws {
    let client = socket
    try server.write(buffer)
    buffer = []
    try ServiceThread.start(name: "relay") {
      while let bytes = try? server.read(), !bytes.isEmpty, (try? client.write(bytes)) != nil {}
      client.shutdown()
    }
    while let bytes = try? client.read(), !bytes.isEmpty, (try? server.write(bytes)) != nil {}
    server.shutdown()
  }

  private func fill() throws {
    if let tls {
      var bytes = [UInt8](repeating: 0, count: 64 << 10)
      let count = SSL_read(tls, &bytes, Int32(bytes.count))
      guard count > 0 else { throw Ended() }
      buffer += bytes[..<Int(count)]
    } else {
      let bytes = try socket.read()
      if bytes.isEmpty { throw Ended() }
      buffer += bytes
    }
  }
}
