/// An INI file: sections of `key = value` lines. A `;` or `#` begins a comment only at the start of a line, so that values
/// may hold both. Nothing in a text keeps the rest of it from being read: what cannot be is in ``problems``.
public struct INI: Sendable, Hashable {
  /// One `key = value`, or `key += value`.
  public struct Entry: Sendable, Hashable {
    /// Without the `+` of `+=`.
    public var key: String
    /// All that follows the `=`, trimmed.
    public var value: String
    /// Written with `+=`: the value is meant to be appended to what was there before.
    public var appends: Bool
    /// Counted from 1.
    public var line: Int
  }

  /// What stands below one `[name]`.
  public struct Section: Sendable, Hashable {
    /// What stands between the brackets, trimmed.
    public var name: String
    /// Counted from 1.
    public var line: Int
    /// In the order of the file; one key can come twice.
    public var entries: [Entry]
  }

  /// A line that was left out. Its text is not part of it, since it can be a secret that lacks its `=`.
  public struct Problem: Sendable, Hashable, CustomStringConvertible {
    /// What is wrong with a line.
    public enum Kind: Sendable, Hashable {
      /// Neither a section, an entry nor a comment.
      case unreadable
      /// An entry before the first section.
      case outside
      /// Begins like a section but is none. What follows belongs to no section and is left out with it: to add it to the
      /// section before would give it a meaning that nobody wrote.
      case section
    }

    /// Why the line was left out.
    public var kind: Kind
    /// Counted from 1.
    public var line: Int

    /// What is wrong, and what became of the line.
    public var description: String {
      switch kind {
      case .unreadable: "neither a [section] nor key = value; left out"
      case .outside: "stands before the first [section]; left out"
      case .section: "not a [section] alone on its line; left out, with what belongs to it"
      }
    }
  }

  /// In the order of the file; one name can come twice.
  public private(set) var sections: [Section] = []
  /// What was left out.
  public private(set) var problems: [Problem] = []

  /// Reads the text of a file.
  public init(_ text: String) {
    // Bytes, since a character can begin with one of ours and go on with a combining mark.
    var bytes = Array(text.utf8)[...]
    if bytes.starts(with: INI.byteOrderMark) { bytes.removeFirst(INI.byteOrderMark.count) }
    let ending = bytes.contains(UInt8(ascii: "\n")) ? UInt8(ascii: "\n") : UInt8(ascii: "\r")
    var outside: Problem.Kind? = .outside
    for (index, raw) in bytes.split(separator: ending, omittingEmptySubsequences: false).enumerated() {
      let line = INI.trim(raw)
      guard let first = line.first, first != UInt8(ascii: ";"), first != UInt8(ascii: "#") else { continue }
      let number = index + 1
      if first == UInt8(ascii: "[") {
        let name = line.last == UInt8(ascii: "]") ? INI.trim(line.dropFirst().dropLast()) : []
        outside = name.isEmpty ? .section : nil
        if name.isEmpty {
          problems.append(Problem(kind: .section, line: number))
        } else {
          sections.append(Section(name: String(decoding: name, as: UTF8.self), line: number, entries: []))
        }
      } else if let entry = INI.entry(line, number: number) {
        switch outside {
        case nil: sections[sections.count - 1].entries.append(entry)
        case .section: break
        case let kind?: problems.append(Problem(kind: kind, line: number))
        }
      } else {
        problems.append(Problem(kind: .unreadable, line: number))
      }
    }
  }

  private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

  private static func entry(_ line: ArraySlice<UInt8>, number: Int) -> Entry? {
    guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { return nil }
    var key = line[..<equals]
    let appends = key.last == UInt8(ascii: "+")
    if appends { key.removeLast() }
    key = trim(key)
    guard !key.isEmpty else { return nil }
    return Entry(
      key: String(decoding: key, as: UTF8.self),
      value: String(decoding: trim(line[line.index(after: equals)...]), as: UTF8.self), appends: appends, line: number)
  }

  private static func trim(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (9...13).contains(byte) }
    let front = bytes.drop(while: isBlank)
    guard let last = front.lastIndex(where: { !isBlank($0) }) else { return [] }
    return front[...last]
  }
}

extension StringProtocol {
  /// The text without white space at both ends.
  public var trimmed: String {
    let isBlank = { (character: Character) in character.isWhitespace }
    guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) }) else {
      return ""
    }
    return String(self[first...last])
  }
}
