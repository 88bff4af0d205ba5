internal import FoundationEssentials
internal import Support

/// The server's proof that it read the client's handshake (RFC 6455, 4.2.2).
enum WebSocketAccept {
  static func value(forKey key: String) -> String {
    Data(Digest.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)).base64EncodedString()
  }
}
