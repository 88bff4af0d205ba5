/// Reads a body from its beginning to its end for one transfer, without ever waiting for a file: what is not in memory is
/// asked for, and arrives later by ``supply(_:_:)``. Belongs to its lane's thread.
final class BodyReader {
  /// A piece of a file to be read elsewhere.
  struct Demand: Sendable {
    let file: SourceFile
    let offset: Int
    /// Tells this demand's answer from that of an earlier one.
    let number: Int

    /// Blocks until the bytes are there.
    func meet() -> Result<[UInt8], TransportError> {
      Result { () throws(TransportError) in try file.read(at: offset, count: 256 << 10) }
    }
  }

  /// What there is to send now.
  enum Outcome {
    /// So many bytes have been copied.
    case copied(Int)
    /// Nothing; a demand is open.
    case wait
    /// Nothing more.
    case end
  }

  private let body: RequestBody
  private let ask: (Demand) -> Void
  private var segment = 0
  private var offset = 0
  /// Bytes of the current segment's file, and where in it they begin.
  private var window: (bytes: [UInt8], start: Int)?
  private var demands = 0
  private var isWaiting = false
  private var failure: TransportError?

  init(_ body: RequestBody, ask: @escaping (Demand) -> Void) {
    self.body = body
    self.ask = ask
  }

  /// Copies the next bytes into `buffer`.
  /// - Throws: what a demand ended with.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(TransportError) -> Outcome {
    if let failure { throw failure }
    while segment < body.segments.count {
      if offset == body.segments[segment].length {
        segment += 1
        offset = 0
        window = nil
        continue
      }
      switch body.segments[segment] {
      case .bytes(let bytes):
        return copy(bytes, from: offset, into: buffer)
      case .file(let file):
        if offset < file.beginning.count { return copy(file.beginning, from: offset, into: buffer) }
        if let window, offset >= window.start, offset < window.start + window.bytes.count {
          return copy(window.bytes, from: offset - window.start, into: buffer)
        }
        if !isWaiting {
          isWaiting = true
          demands += 1
          ask(Demand(file: file, offset: offset, number: demands))
        }
        return .wait
      }
    }
    return .end
  }

  /// Takes the answer to demand `number`; false if nobody waits for it any more.
  func supply(_ number: Int, _ answer: Result<[UInt8], TransportError>) -> Bool {
    guard isWaiting, number == demands else { return false }
    isWaiting = false
    switch answer {
    case .success(let bytes): window = (bytes, offset)
    case .failure(let error): failure = error
    }
    return true
  }

  /// Goes to byte `position`, for a request that libcurl sends again on another connection.
  func seek(to position: Int) {
    segment = 0
    offset = position
    window = nil
    isWaiting = false
    while segment < body.segments.count, offset > body.segments[segment].length {
      offset -= body.segments[segment].length
      segment += 1
    }
  }

  private func copy(_ bytes: [UInt8], from start: Int, into buffer: UnsafeMutableRawBufferPointer) -> Outcome {
    let count = min(bytes.count - start, buffer.count)
    bytes.withUnsafeBytes { buffer.copyMemory(from: .init(rebasing: $0[start..<start + count])) }
    offset += count
    return .copied(count)
  }
}
