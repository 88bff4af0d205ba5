import Support

/// Which WebSocket messages something happens to on their way through a ``FaultProxy``, and what. Messages of one frame
/// only, as ours and those of web UIs are.
package final class MessageRule: Sendable {
  /// Who speaks.
  package enum Side: Sendable, Hashable {
    case client, server
  }

  /// What happens to a message.
  package enum Fault: Sendable, Hashable {
    /// It vanishes.
    case drop
    /// Another text comes in its place.
    case replace(String)
    /// It comes twice.
    case duplicate
    /// It vanishes, and the connection ends, by FIN.
    case cut
    /// It vanishes, and the connection ends, by RST.
    case reset
  }

  /// Counts the messages that the rule has been applied to.
  package let applied = EventCounter()
  let fault: Fault
  private let side: Side
  private let text: String
  private let occurrences: ClosedRange<Int>
  private let matches = Guarded(0)

  init(_ side: Side, _ text: String, _ occurrences: ClosedRange<Int>, _ fault: Fault) {
    self.side = side
    self.text = text
    self.occurrences = occurrences
    self.fault = fault
  }

  func takes(_ message: String, _ side: Side) -> Bool {
    guard side == self.side, message.contains(text) else { return false }
    let number = matches.withLock { matches in
      matches += 1
      return matches
    }
    return occurrences.contains(number)
  }
}

/// A frame of a WebSocket (RFC 6455, section 5.2), as far as a proxy has to know it.
struct ProxiedFrame {
  /// The whole frame as it came.
  var bytes: [UInt8]
  /// Unmasked; nil for frames that are no text message of their own.
  var text: String?
  private let isMasked: Bool

  /// Takes the first frame out of `buffer`; nil if it is not complete.
  init?(takenFrom buffer: inout [UInt8]) {
    guard buffer.count >= 2 else { return nil }
    isMasked = buffer[1] & 0x80 != 0
    var start = 2
    var length = Int(buffer[1] & 0x7f)
    let extra = length == 126 ? 2 : length == 127 ? 8 : 0
    if extra > 0 {
      guard buffer.count >= start + extra else { return nil }
      length = buffer[start..<start + extra].reduce(0) { $0 << 8 | Int($1) }
      start += extra
    }
    let mask = isMasked ? Array(buffer.dropFirst(start).prefix(4)) : [0, 0, 0, 0]
    if isMasked { start += 4 }
    guard buffer.count >= start + length else { return nil }
    bytes = Array(buffer[..<(start + length)])
    buffer.removeFirst(start + length)
    guard bytes[0] == 0x81 else { return }
    text = String(decoding: bytes[start...].enumerated().map { $1 ^ mask[$0 % 4] }, as: UTF8.self)
  }

  /// A frame for the same direction that says something else.
  func saying(_ text: String) -> [UInt8] {
    let payload = Array(text.utf8)
    let mask: UInt8 = isMasked ? 0x80 : 0
    var frame: [UInt8] = [0x81]
    if payload.count < 126 {
      frame.append(mask | UInt8(payload.count))
    } else {
      frame += [mask | 126, UInt8(truncatingIfNeeded: payload.count >> 8), UInt8(truncatingIfNeeded: payload.count)]
    }
    // A mask of zeros leaves everything as it is.
    return frame + (isMasked ? [0, 0, 0, 0] : []) + payload
  }
}
