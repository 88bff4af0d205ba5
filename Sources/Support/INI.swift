/// An INI file: sections of `key = value` lines. A `;` or `#` begins a comment only at the start of a line, so that values
/// may hold both.
public struct INI: Sendable, Hashable {
  /// One `key = value`, or `key += value`.
  public struct Entry: Sendable, Hashable {
    public var key: String
    public var value: String
    /// Written with `+=`: the value is meant to be appended to what was there before.
    public var appends: Bool
    /// Counted from 1.
    public var line: Int
  }

  /// What stands below one `[name]`.
  public struct Section: Sendable, Hashable {
    public var name: String
    public var entries: [Entry]
  }

  /// A line that is neither a section, an entry nor a comment.
  public struct Problem: Sendable, Hashable, CustomStringConvertible {
    /// Counted from 1.
    public var line: Int
    public var text: String

    /// One line for the log.
    public var description: String { "line \(line): '\(text)' is neither a [section] nor key = value" }
  }

  /// In the order of the file; one name can come twice.
  public private(set) var sections: [Section] = []
  /// What was left out.
  public private(set) var problems: [Problem] = []

  /// Reads the text of a file.
  public init(_ text: String) {
    for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: { $0 == "\n" || $0 == "\r\n" })
      .enumerated()
    {
      let line = raw.trimmed
      if line.isEmpty || line.hasPrefix(";") || line.hasPrefix("#") { continue }
      if line.hasPrefix("["), line.hasSuffix("]") {
        sections.append(Section(name: line.dropFirst().dropLast().trimmed, entries: []))
      } else if let equals = line.firstIndex(of: "="), !sections.isEmpty {
        var key = line[..<equals]
        let appends = key.hasSuffix("+")
        if appends { key.removeLast() }
        let entry = Entry(
          key: key.trimmed, value: line[line.index(after: equals)...].trimmed, appends: appends, line: index + 1)
        if entry.key.isEmpty {
          problems.append(Problem(line: index + 1, text: line))
        } else {
          sections[sections.count - 1].entries.append(entry)
        }
      } else {
        problems.append(Problem(line: index + 1, text: line))
      }
    }
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
