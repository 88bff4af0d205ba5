import FoundationEssentials
import Support

/// The body of a `POST jobs/ID/status` with what live viewers get (protocol §6). It says nothing of results.
package struct LiveStatus: Sendable, Hashable {
  /// A log that is followed; the raw value names its field.
  package enum Log: String, Sendable, Hashable, CaseIterable {
    case autoinst = "log"
    case serial = "serial_log"
    case terminal = "serial_terminal"
    case userTerminal = "serial_terminal_user"

    /// The file in the pool.
    package var file: String {
      switch self {
      case .autoinst: "autoinst-log.txt"
      case .serial: "serial0"
      case .terminal: "virtio_console.log"
      case .userTerminal: "virtio_console_user.log"
      }
    }
  }

  /// Bytes of a log, and how many come before them.
  package struct Piece: Sendable, Hashable {
    /// The most bytes that web UIs get at once.
    package static let limit = 100_000

    package var offset: Int64
    package var bytes: [UInt8]

    package init(offset: Int64, bytes: [UInt8]) {
      self.offset = offset
      self.bytes = bytes
    }
  }

  /// What the guest shows.
  package struct Screen: Sendable, Hashable {
    /// Of the file; another screen has another name.
    package var name: String
    package var png: [UInt8]

    package init(name: String, png: [UInt8]) {
      self.name = name
      self.png = png
    }
  }

  package var workerID: Int64
  package var commandServerURL: String
  package var workerHostname: String
  /// Nil, or why the test pauses.
  package var pauseReason: String?
  /// The next piece of each log; one that is missing has no file. Nil where logs are not told of.
  package var logs: [Log: Piece]?
  package var screen: Screen?

  package init(workerID: Int64, commandServerURL: String, workerHostname: String) {
    self.workerID = workerID
    self.commandServerURL = commandServerURL
    self.workerHostname = workerHostname
  }

  /// The request's body.
  package var body: [UInt8] {
    let fields: JSON = [
      "cmd_srv_url": .string(commandServerURL),
      "test_execution_paused": pauseReason.map { .string($0) } ?? 0,
      "worker_hostname": .string(workerHostname),
      "worker_id": .integer(workerID),
    ]
    var output = Array(#"{"status":"#.utf8)
    let size = logs?.values.reduce(0) { $0 + $1.bytes.count * 9 / 8 } ?? 0
    output.reserveCapacity(1000 + size + (screen.map { $0.png.count * 4 / 3 } ?? 0))
    fields.write(to: &output)
    output.removeLast()
    if let logs {
      for log in Log.allCases {
        output.append(contentsOf: ",\"\(log.rawValue)\":{".utf8)
        if let piece = logs[log] {
          output.append(contentsOf: "\"offset\":\(piece.offset),\"data\":\"".utf8)
          for byte in piece.bytes { LiveStatus.write(byte, to: &output) }
          output.append(UInt8(ascii: "\""))
        }
        output.append(UInt8(ascii: "}"))
      }
    }
    if let screen {
      output.append(contentsOf: #","screen":{"name":"#.utf8)
      JSON.write(screen.name, to: &output)
      output.append(contentsOf: #","png":""#.utf8)
      output.append(contentsOf: Data(screen.png).base64EncodedData())
      output.append(contentsOf: "\"}".utf8)
    }
    output.append(contentsOf: "}}".utf8)
    return output
  }

  /// A byte as the code point of its number: the web UI writes code points back as bytes, whatever text they once were.
  private static func write(_ byte: UInt8, to output: inout [UInt8]) {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"):
      output.append(UInt8(ascii: "\\"))
      output.append(byte)
    case UInt8(ascii: "\n"): output.append(contentsOf: #"\n"#.utf8)
    case 0x20..<0x7f: output.append(byte)
    case 0..<0x20, 0x7f: output.append(contentsOf: "\\u00\([byte].hexadecimal)".utf8)
    default:
      output.append(0xc0 | byte >> 6)
      output.append(0x80 | byte & 0x3f)
    }
  }
}
