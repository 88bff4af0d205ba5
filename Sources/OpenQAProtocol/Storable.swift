/// A value as Perl's Storable writes it in network order, as far as chunks of assets need it (protocol §8).
package enum Storable: Sendable, Hashable {
  case integer(Int64)
  /// Bytes, or a text's UTF-8.
  case bytes([UInt8])
  /// A hash; its pairs have an order here, though none that means anything.
  case hash([Pair])

  package struct Pair: Sendable, Hashable {
    package var key: String
    package var value: Storable

    package init(_ key: String, _ value: Storable) {
      self.key = key
      self.value = value
    }

    /// Appends the pair as it stands in a hash's image.
    func write(to image: inout [UInt8]) {
      value.write(to: &image)
      Storable.write(key: key, to: &image)
    }
  }

  /// A text's bytes.
  package static func text(_ text: String) -> Storable { .bytes(Array(text.utf8)) }

  /// The value of a hash for `key`.
  package subscript(key: String) -> Storable? {
    guard case .hash(let pairs) = self else { return nil }
    return pairs.first { $0.key == key }?.value
  }

  /// The bytes, or a number's digits; nil for a hash.
  package var bytes: [UInt8]? {
    switch self {
    case .integer(let number): Array(String(number).utf8)
    case .bytes(let bytes): bytes
    case .hash: nil
    }
  }

  /// The number, or the one that a text is.
  package var integer: Int64? {
    switch self {
    case .integer(let number): number
    case .bytes(let bytes): bytes.count > 20 ? nil : Int64(String(decoding: bytes, as: UTF8.self))
    case .hash: nil
    }
  }

  /// What an image begins with: format 2 in network order, and the minor version that Perl 5.36 writes.
  static let header: [UInt8] = [0x05, 0x0b]

  /// The marks that begin a value.
  enum Mark {
    static let longBytes: UInt8 = 0x01
    static let hash: UInt8 = 0x03
    static let reference: UInt8 = 0x04
    static let smallInteger: UInt8 = 0x08
    static let integer: UInt8 = 0x09
    static let shortBytes: UInt8 = 0x0a
    static let blessed: UInt8 = 0x11
    static let overloadedReference: UInt8 = 0x14
    static let shortText: UInt8 = 0x17
    static let longText: UInt8 = 0x18
  }

  /// The value as `thaw` takes it: bytes have to be fewer than 2 GiB.
  package var image: [UInt8] {
    var image = Storable.header
    write(to: &image)
    return image
  }

  fileprivate func write(to image: inout [UInt8]) {
    switch self {
    case .integer(let number):
      if let small = Int8(exactly: number) {
        image += [Mark.smallInteger, UInt8(Int16(small) + 128)]
      } else if let number = Int32(exactly: number) {
        image.append(Mark.integer)
        Storable.write(UInt32(bitPattern: number), to: &image)
      } else {
        Storable.text(String(number)).write(to: &image)
      }
    case .bytes(let bytes):
      Storable.beginBytes(bytes.count, in: &image)
      image += bytes
    case .hash(let pairs):
      Storable.beginHash(pairs.count, in: &image)
      for pair in pairs { pair.write(to: &image) }
    }
  }

  /// What comes before so many bytes.
  static func beginBytes(_ count: Int, in image: inout [UInt8]) {
    if let count = UInt8(exactly: count) {
      image += [Mark.shortBytes, count]
    } else {
      image.append(Mark.longBytes)
      write(UInt32(count), to: &image)
    }
  }

  /// What comes before so many pairs.
  static func beginHash(_ count: Int, in image: inout [UInt8]) {
    image.append(Mark.hash)
    write(UInt32(count), to: &image)
  }

  /// What comes after a pair's value.
  static func write(key: String, to image: inout [UInt8]) {
    write(UInt32(key.utf8.count), to: &image)
    image += key.utf8
  }

  private static func write(_ number: UInt32, to image: inout [UInt8]) {
    for shift in [24, 16, 8, 0] as [UInt32] { image.append(UInt8(truncatingIfNeeded: number >> shift)) }
  }
}
