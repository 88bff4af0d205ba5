import CCrypto

/// Message digests and HMAC-SHA1, on libcrypto.
public enum Digest: Sendable {
  /// What a file or message is known by in the web UI's image store.
  case md5
  case sha1
  case sha256

  /// The digest of `bytes`, raw: 16, 20 or 32 bytes.
  public func callAsFunction(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var hasher = Hasher(self)
    hasher.update(Array(bytes))
    return hasher.finish()
  }

  /// Takes a message piece by piece, for files that should not be read whole.
  public struct Hasher: ~Copyable {
    private let context: OpaquePointer?

    /// Begins an empty message.
    public init(_ digest: Digest) {
      context = EVP_MD_CTX_new()
      EVP_DigestInit_ex(context, digest.algorithm, nil)
    }

    deinit { EVP_MD_CTX_free(context) }

    /// Appends `bytes` to the message.
    public mutating func update(_ bytes: [UInt8]) {
      _ = bytes.withUnsafeBytes { EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    }

    /// The raw digest of all that was appended.
    public consuming func finish() -> [UInt8] {
      var raw = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
      var count: UInt32 = 0
      EVP_DigestFinal_ex(context, &raw, &count)
      return Array(raw.prefix(Int(count)))
    }
  }

  /// HMAC-SHA1 of `message` under `key`, raw, 20 bytes.
  public static func hmacSHA1(key: [UInt8], message: [UInt8]) -> [UInt8] {
    var raw = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    _ = key.withUnsafeBytes { HMAC(EVP_sha1(), $0.baseAddress, Int32($0.count), message, message.count, &raw, &count) }
    return Array(raw.prefix(Int(count)))
  }

  private var algorithm: OpaquePointer? {
    switch self {
    case .md5: EVP_md5()
    case .sha1: EVP_sha1()
    case .sha256: EVP_sha256()
    }
  }
}

extension Sequence<UInt8> {
  /// Two lower-case hexadecimal digits for each byte.
  public var hexadecimal: String {
    var text: [UInt8] = []
    text.reserveCapacity(2 * underestimatedCount)
    func digit(_ value: UInt8) -> UInt8 { value < 10 ? value + 0x30 : value + 0x57 }
    for byte in self {
      text.append(digit(byte >> 4))
      text.append(digit(byte & 15))
    }
    return String(decoding: text, as: UTF8.self)
  }
}
