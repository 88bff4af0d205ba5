import Support
import SystemPackage

/// A configuration file with its drop-ins laid over it, key by key (protocol §1.1).
struct MergedFile: Sendable {
  /// One key of a section.
  struct Entry: Sendable {
    var key: String
    /// Written with `+=`.
    var appends: Bool
    var value: Value
    fileprivate var file: FilePath
  }

  /// Which of two that are the same in one section of one file counts.
  enum Repetition: String, Sendable { case first, last }
  let repetition: Repetition

  init(repetition: Repetition) { self.repetition = repetition }

  /// A section of the files that have it; `place` is where it is first.
  struct Section: Sendable {
    var name: String
    var place: String
    var entries: [Entry] = []
  }

  /// In the order of their first appearance; each name once.
  private(set) var sections: [Section] = []

  /// The entries of a section, in order; none if there is no such section.
  subscript(name: String) -> [Entry] { sections.first { $0.name == name }?.entries ?? [] }

  /// Lays `text` over what is there.
  /// - Parameter warnings: gets what is odd in it.
  mutating func merge(_ text: String, of file: FilePath, warnings: inout [String]) {
    let ini = INI(text)
    warnings += ini.problems.map { "\(file):\($0.line): \($0)" }
    for section in ini.sections {
      let index = sections.firstIndex { $0.name == section.name } ?? sections.count
      if index == sections.count { sections.append(Section(name: section.name, place: "\(file):\(section.line)")) }
      for read in section.entries {
        let origin = Origin.file(file, line: read.line, section: section.name)
        if (read.key + read.value).unicodeScalars.contains("\u{FFFD}") {
          warnings.append("\(origin): \(read.key): what is not UTF-8 was replaced; write the file in UTF-8")
        }
        let entry = Entry(
          key: read.key, appends: read.appends, value: Value(text: read.value, origins: [origin]), file: file)
        let same = sections[index].entries.firstIndex { $0.key == entry.key && $0.appends == entry.appends }
        if let same, sections[index].entries[same].file == file {
          warnings.append("\(origin): \(read.key) is twice in this section of the file; the \(repetition) one counts")
          if repetition == .last { sections[index].entries[same] = entry }
        } else if let same {
          sections[index].entries[same] = entry
        } else {
          sections[index].entries.append(entry)
        }
      }
    }
  }
}
