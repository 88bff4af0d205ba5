/// Reads a body from its beginning to its end for one transfer, without ever waiting for a source: its bytes are asked for, a
/// piece ahead of what is sent, and arrive later by ``supply(_:_:)``. Belongs to its lane's thread.
final class BodyReader {
  /// A piece of a source to be read elsewhere.
  struct Demand: Sendable {
    let source: any BodySource
    /// From the next byte to the last that is to be sent.
    let range: Range<Int>
    /// Tells this demand's answer from that of an earlier one.
    let number: Int

    /// Blocks until the bytes are there.
    func meet() -> Result<[UInt8], TransportError> {
      do {
        let bytes = try source.read(at: range.lowerBound)
        if (1...range.count).contains(bytes.count) { return .success(bytes) }
        let problem = bytes.isEmpty ? "too few bytes" : "too many bytes"
        return .failure(
          TransportError(.file, "cannot send a body: \(problem) at \(range.lowerBound) of \(range.upperBound)"))
      } catch let error as TransportError {
        return .failure(error)
      } catch {
        return .failure(TransportError(.file, "\(error)"))
      }
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

  /// Pieces of a source in memory: the one that is sent and the next.
  private static let readAhead = 2

  private let body: RequestBody
  private let ask: (Demand) -> Void
  private var segment = 0
  /// In the segment.
  private var offset = 0
  /// Bytes of the segment's source from `offset` on; of the first piece `used` bytes are sent.
  private var pieces: [[UInt8]] = []
  private var used = 0
  private var demands = 0
  private var isWaiting = false
  private var failure: TransportError?

  init(_ body: RequestBody, ask: @escaping (Demand) -> Void) {
    self.body = body
    self.ask = ask
  }

  /// Copies the next bytes into `buffer`: as many as there are room and bytes for.
  /// - Throws: what a demand ended with.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(TransportError) -> Outcome {
    var count = 0
    while segment < body.segments.count, count < buffer.count {
      if let failure { throw failure }
      guard offset < body.segments[segment].length else {
        begin(segment + 1, at: 0)
        continue
      }
      let room = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
      switch body.segments[segment] {
      case .bytes(let bytes):
        count += copy(bytes, from: offset, into: room)
      case .source(let source, let range):
        demand(source, range)
        guard let piece = pieces.first else { return count > 0 ? .copied(count) : .wait }
        let copied = copy(piece, from: used, into: room)
        count += copied
        used += copied
        if used == piece.count {
          pieces.removeFirst()
          used = 0
        }
      }
    }
    return count > 0 ? .copied(count) : .end
  }

  /// Takes the answer to demand `number`; false if nobody waits for it any more.
  func supply(_ number: Int, _ answer: Result<[UInt8], TransportError>) -> Bool {
    guard isWaiting, number == demands else { return false }
    isWaiting = false
    switch answer {
    case .success(let bytes): pieces.append(bytes)
    case .failure(let error): failure = error
    }
    return true
  }

  /// Goes to byte `position`, for a request that libcurl sends again on another connection.
  func seek(to position: Int) {
    var (segment, offset) = (0, position)
    while segment < body.segments.count, offset > body.segments[segment].length {
      offset -= body.segments[segment].length
      segment += 1
    }
    begin(segment, at: offset)
  }

  private func begin(_ segment: Int, at offset: Int) {
    (self.segment, self.offset) = (segment, offset)
    (pieces, used, isWaiting) = ([], 0, false)
  }

  /// Asks for the source's next piece, if there is room and more to come.
  private func demand(_ source: any BodySource, _ range: Range<Int>) {
    let next = range.lowerBound + offset - used + pieces.reduce(0) { $0 + $1.count }
    guard !isWaiting, pieces.count < BodyReader.readAhead, next < range.upperBound else { return }
    isWaiting = true
    demands += 1
    ask(Demand(source: source, range: next..<range.upperBound, number: demands))
  }

  private func copy(_ bytes: [UInt8], from start: Int, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let count = min(bytes.count - start, buffer.count)
    bytes.withUnsafeBytes { buffer.copyMemory(from: .init(rebasing: $0[start..<start + count])) }
    offset += count
    return count
  }
}
