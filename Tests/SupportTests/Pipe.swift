import Glibc
import Testing

/// A pipe, to hold a thread in a real blocking call.
struct Pipe: Sendable {
  private let ends: [Int32]

  init() {
    var ends: [Int32] = [0, 0]
    let result = pipe(&ends)
    #expect(result == 0)
    self.ends = ends
  }

  func read() {
    var byte: UInt8 = 0
    _ = Glibc.read(ends[0], &byte, 1)
  }

  func write() {
    var byte: UInt8 = 0
    _ = Glibc.write(ends[1], &byte, 1)
  }
}
