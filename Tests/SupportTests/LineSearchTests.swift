import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Lines in large files")
struct LineSearchTests {
  @Test("those that contain a text, wherever the pieces that are read begin")
  func lines() throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("log")
    #expect(try LineSearch.lines(of: path, containing: ["x"]) == [])
    // Lines of all lengths, so that a piece ends at each place of one.
    var content: [UInt8] = []
    var expected: [String] = []
    for number in 0..<20000 {
      let line = String(repeating: ".", count: number % 97) + (number.isMultiple(of: 1000) ? " needle \(number)" : "")
      if number.isMultiple(of: 1000) { expected.append(line) }
      content += Array(line.utf8) + [10]
    }
    try Files.replace(path, with: content)
    #expect(try LineSearch.lines(of: path, containing: ["needle", "other"]) == expected)
    #expect(try LineSearch.lines(of: path, containing: ["needle"], limit: 3) == Array(expected.prefix(3)))
    #expect(try LineSearch.lines(of: path, containing: ["nothing"]) == [])
    try Files.append(Array("the needle is in what is no whole line".utf8), to: path)
    #expect(try LineSearch.lines(of: path, containing: ["no whole"]) == ["the needle is in what is no whole line"])
    #expect(throws: FileError.self) { try LineSearch.lines(of: folder.path, containing: ["x"]) }
  }
}
