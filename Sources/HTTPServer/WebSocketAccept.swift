internal import CCrypto

/// The server's proof that it read the client's handshake (RFC 6455, 4.2.2).
enum WebSocketAccept {
  static func value(forKey key: String) -> String {
    let text = Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)
    var digest = [UInt8](repeating: 0, count: 20)
    var length: UInt32 = 0
    EVP_Digest(text, text.count, &digest, &length, EVP_sha1(), nil)
    var encoded = [UInt8](repeating: 0, count: 29)
    EVP_EncodeBlock(&encoded, digest, 20)
    return String(decoding: encoded.dropLast(), as: UTF8.self)
  }
}
