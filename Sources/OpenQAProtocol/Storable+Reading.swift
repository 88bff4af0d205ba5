extension Storable {
  /// Reads an image, also one of a client that says more than it has to: references and objects stand for what is in them.
  /// - Throws: ``ProtocolError`` for anything that is cut, followed by more, too deep, or of another kind.
  package init(image: [UInt8]) throws(ProtocolError) {
    guard image.first == Storable.header[0] else { throw ProtocolError("Storable: not an image in network order") }
    var reader = StorableReader(rest: image.dropFirst(Storable.header.count))
    self = try reader.readValue(depth: 0)
    guard reader.rest.isEmpty else { throw ProtocolError("Storable: \(reader.rest.count) bytes too many") }
  }
}

/// Takes an image apart from its front. Nothing is reserved by what the image says of its size.
private struct StorableReader {
  /// Of values in each other.
  private static let maximumDepth = 16

  var rest: ArraySlice<UInt8>

  mutating func readValue(depth: Int) throws(ProtocolError) -> Storable {
    guard depth < StorableReader.maximumDepth else { throw ProtocolError("Storable: too many values in each other") }
    let mark = try readByte()
    switch mark {
    case Storable.Mark.smallInteger: return .integer(Int64(try readByte()) - 128)
    case Storable.Mark.integer: return .integer(Int64(Int32(bitPattern: try readNumber())))
    case Storable.Mark.shortBytes, Storable.Mark.shortText: return .bytes(Array(try read(Int(try readByte()))))
    case Storable.Mark.longBytes, Storable.Mark.longText: return .bytes(Array(try read(Int(try readNumber()))))
    case Storable.Mark.hash:
      var pairs: [Storable.Pair] = []
      for _ in 0..<(try readNumber()) {
        let value = try readValue(depth: depth + 1)
        let key = try read(Int(try readNumber()))
        pairs.append(Storable.Pair(String(decoding: key, as: UTF8.self), value))
      }
      return .hash(pairs)
    case Storable.Mark.reference, Storable.Mark.overloadedReference: return try readValue(depth: depth + 1)
    case Storable.Mark.blessed:
      // The class's name; 0x80 says that a longer number tells its length.
      let count = try readByte()
      _ = try read(count & 0x80 == 0 ? Int(count) : Int(try readNumber()))
      return try readValue(depth: depth + 1)
    default: throw ProtocolError("Storable: a value of unknown kind \(mark)")
    }
  }

  private mutating func readByte() throws(ProtocolError) -> UInt8 {
    guard let byte = rest.popFirst() else { throw ProtocolError("Storable: the image is cut") }
    return byte
  }

  private mutating func readNumber() throws(ProtocolError) -> UInt32 {
    try read(4).reduce(0) { $0 << 8 | UInt32($1) }
  }

  private mutating func read(_ count: Int) throws(ProtocolError) -> ArraySlice<UInt8> {
    guard count <= rest.count else { throw ProtocolError("Storable: the image is cut") }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }
}
