package import Support

/// The placeholders in settings: `%NAME%` stands for the value of the setting NAME (protocol §5, "Settings").
///
/// Web UIs resolve most of them. What is left refers to settings that only the worker knows, or to the test code's
/// folder, which only the backend knows: `%CASEDIR%` stays.
package struct Placeholders: Sendable {
  /// A setting whose value needs itself, or would grow beyond all use.
  package struct Unresolvable: Error, Sendable, Hashable, CustomStringConvertible {
    package var description: String
  }

  /// The most that a value may grow to, in bytes: a few settings that each name another one twice are enough to fill
  /// any memory.
  private static let limit = 1 << 24

  private let settings: [String: JSON]
  private var resolved: [String: String] = [:]
  private var path: [String] = []

  private init(_ settings: [String: JSON]) { self.settings = settings }

  /// Resolves the placeholders in all texts among `settings`, in the order of their names.
  ///
  /// Exactly one `%` on each side of a name makes a placeholder; where there are more on a side, each side loses one of
  /// them and nothing is looked up. What names no setting is empty.
  /// - Returns: nil, or what ended the pass; what was resolved before stays so.
  package static func resolve(_ settings: inout [String: JSON]) -> Unresolvable? {
    var pass = Placeholders(settings)
    for name in settings.keys.sorted() {
      guard let text = settings[name]?.string, text.utf8.contains(UInt8(ascii: "%")) else { continue }
      do { settings[name] = .string(try pass.value(of: name)) } catch { return error }
    }
    return nil
  }

  private mutating func value(of name: String) throws(Unresolvable) -> String {
    if let known = resolved[name] { return known }
    guard let text = settings[name]?.scalar else { return "" }
    guard !path.contains(name) else {
      throw Unresolvable(
        description: "The setting \(name) refers to itself: \((path + [name]).joined(separator: " -> "))")
    }
    path.append(name)
    defer { path.removeLast() }
    let value = try expand(text, of: name)
    resolved[name] = value
    return value
  }

  private mutating func expand(_ text: String, of name: String) throws(Unresolvable) -> String {
    var output = ""
    var rest = Substring(text).unicodeScalars
    func take(_ isIncluded: (Unicode.Scalar) -> Bool) -> Substring.UnicodeScalarView {
      let taken = rest.prefix(while: isIncluded)
      rest = rest[taken.endIndex...]
      return taken
    }
    while !rest.isEmpty {
      output.unicodeScalars.append(contentsOf: take { $0 != "%" })
      let left = take { $0 == "%" }
      let word = take(Placeholders.isWordPart)
      let right = word.isEmpty ? word : take { $0 == "%" }
      if right.isEmpty || String(word) == "CASEDIR" {
        output.unicodeScalars.append(contentsOf: left)
        output.unicodeScalars.append(contentsOf: word)
        output.unicodeScalars.append(contentsOf: right)
      } else if left.count == 1, right.count == 1 {
        output.append(try value(of: String(word)))
      } else {
        output.unicodeScalars.append(contentsOf: left.dropFirst())
        output.unicodeScalars.append(contentsOf: word)
        output.unicodeScalars.append(contentsOf: right.dropFirst())
      }
      guard output.utf8.count <= Placeholders.limit else {
        throw Unresolvable(
          description: "The setting \(name) grows beyond \(Placeholders.limit) bytes by its placeholders")
      }
    }
    return output
  }

  private static func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return scalar == "_" || scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) }
    return scalar.properties.isAlphabetic || scalar.properties.generalCategory == .decimalNumber
  }
}
