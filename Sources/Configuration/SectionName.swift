import Support

/// What the name of a section of workers.ini says (protocol §1.2).
enum SectionName {
  /// Whether `name` is a list of numbers and ranges that holds `instance`: `1,3-5`.
  static func names(_ name: String, instance: Int) -> Bool {
    name.split(separator: ",").contains { range($0)?.contains(instance) == true }
  }

  /// What makes a name look like a mistake; nil for any other.
  static func problem(_ name: String) -> String? {
    for known in ["global", "class:"] where name.lowercased().hasPrefix(known) && !name.hasPrefix(known) {
      return "section [\(name)] is left out: \(known) is written in lower case"
    }
    guard name.contains(where: \.isNumber), name.allSatisfy({ $0.isNumber || ", -".contains($0) }) else { return nil }
    let parts = name.split(separator: ",", omittingEmptySubsequences: false)
    guard let part = parts.first(where: { range($0) == nil }) else { return nil }
    return "section [\(name)]: '\(part)' is neither a number nor a range; write [1] or [1,3-5]"
  }

  private static func range(_ part: Substring) -> ClosedRange<Int>? {
    let bounds = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0.trimmed) }
    guard bounds.count <= 2, case let (first??, last??) = (bounds.first, bounds.last), first <= last else { return nil }
    return first...last
  }
}
