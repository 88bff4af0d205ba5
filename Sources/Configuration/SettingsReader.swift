import Support
import SystemPackage

/// Takes the values of keys one by one, checks them, and notes what was taken from where.
struct SettingsReader {
  /// The values of one kind of file, names in upper case.
  private(set) var values: [String: Value] = [:]
  private let environment: [String: String]
  private let directory: FilePath
  private(set) var items: [Settings.Item] = []
  var warnings: [String] = []

  /// - Parameter directory: the folder that relative paths are in.
  init(environment: [String: String], directory: FilePath = "/") {
    self.environment = environment
    self.directory = directory
  }

  /// Lays the entries of a section over what is there.
  /// - Parameter fillsIn: whether only what is not there is taken.
  mutating func lay(_ entries: [MergedFile.Entry], fillsIn: Bool = false) {
    for entry in entries {
      let key = entry.key.uppercased()
      guard let before = values[key] else {
        values[key] = entry.value
        continue
      }
      if fillsIn { continue }
      values[key] = entry.value
      if entry.appends {
        values[key] = Value(
          text: before.text.isEmpty ? entry.value.text : "\(before.text),\(entry.value.text)",
          origins: before.origins + entry.value.origins)
      }
    }
  }

  /// Gives a key a value that wins over that of the files; nil changes nothing.
  mutating func override(_ key: Settings.Key, with text: String?, from origin: Origin) {
    guard let text, !text.isEmpty else { return }
    values[key.rawValue] = Value(text: text, origins: [origin])
  }

  /// Removes a key, so that it is none of ``values`` any more.
  mutating func remove(_ key: Settings.Key) { values[key.rawValue] = nil }

  /// The text of a key; nil if there is none. An empty one is none.
  mutating func text(_ key: Settings.Key, standard: String? = nil) -> String? {
    let value = configured(key)
    let text = value?.text ?? standard ?? key.standard
    items.append(Settings.Item(key: key.rawValue, value: text, origins: value?.origins ?? [.standard]))
    return text
  }

  /// A path, made absolute: jobs have a working directory of their own.
  mutating func path(_ key: Settings.Key) -> FilePath? {
    guard let text = text(key) else { return nil }
    let path = directory.pushing(FilePath(text))
    items[items.count - 1].value = path.string
    return path
  }

  /// The number of a key, brought within `range`; nil if it has none, not even by default.
  mutating func optionalNumber(_ key: Settings.Key, in range: ClosedRange<Double>) -> Double? {
    let value = configured(key)
    var number = key.standard.flatMap { Double($0) }
    var origins = [Origin.standard]
    if let value {
      if let read = Double(value.text), read.isFinite {
        let bounded = min(max(read, range.lowerBound), range.upperBound)
        if bounded != read { warn(key, value, "out of bounds, taken as \(bounded.plain)") }
        (number, origins) = (bounded, value.origins)
      } else {
        warn(key, value, number.map { "not a number, taken as \($0.plain)" } ?? "not a number, left out")
      }
    }
    items.append(Settings.Item(key: key.rawValue, value: number?.plain, origins: origins))
    return number
  }

  /// The number of a key that has one by default.
  mutating func number(_ key: Settings.Key, in range: ClosedRange<Double> = 0...1e9) -> Double {
    optionalNumber(key, in: range) ?? range.lowerBound
  }

  /// A number without a fraction.
  mutating func count(_ key: Settings.Key, in range: ClosedRange<Double> = 1...1e9) -> Int {
    Int(saturating: number(key, in: range))
  }

  /// A time in seconds, fractions allowed.
  mutating func seconds(_ key: Settings.Key, in range: ClosedRange<Double> = 0...1e9) -> Duration {
    Duration(boundedSeconds: number(key, in: range))
  }

  /// Whether a key is on. As it has always been, anything but 0 and nothing is.
  mutating func flag(_ key: Settings.Key) -> Bool {
    let value = configured(key)
    let isOn = (value?.text ?? key.standard ?? "0") != "0"
    if let value, ["no", "off", "false"].contains(value.text.lowercased()) {
      warn(key, value, "taken as 1, as any text is; write 0")
    }
    items.append(Settings.Item(key: key.rawValue, value: isOn ? "1" : "0", origins: value?.origins ?? [.standard]))
    return isOn
  }

  /// A severity.
  mutating func logLevel() -> Settings.LogLevel {
    let text = text(.logLevel) ?? ""
    if let level = Settings.LogLevel(rawValue: text.lowercased()) { return level }
    if let value = configured(.logLevel) {
      let known = Settings.LogLevel.allCases.map(\.rawValue).joined(separator: ", ")
      warn(.logLevel, value, "unknown, taken as info; write one of \(known)")
    }
    return .info
  }

  /// What every job gets: all that the files say, and the defaults that jobs have always got.
  var jobSettings: [String: JSON] {
    var settings = values.mapValues { JSON.string($0.text) }
    for key in [Settings.Key.retryDelay, .retryDelayIfBusy, .criticalLoad] where settings[key.rawValue] == nil {
      settings[key.rawValue] = key.standard.flatMap { Int64($0) }.map { .integer($0) }
    }
    return settings
  }

  /// What was taken, in the order of the keys, and then what only jobs know.
  var sortedItems: [Settings.Item] {
    let order = Dictionary(uniqueKeysWithValues: Settings.Key.allCases.enumerated().map { ($1.rawValue, $0) })
    let known = items.sorted { (order[$0.key] ?? 0) < (order[$1.key] ?? 0) }
    let unknown = values.filter { Settings.Key(rawValue: $0.key)?.isInFile != true }.sorted { $0.key < $1.key }
    return known + unknown.map { Settings.Item(key: $0.key, value: $0.value.text, origins: $0.value.origins) }
  }

  /// Warns of each unknown key that looks like a known one.
  /// - Parameter others: keys that mean something in other sections.
  mutating func warnOfSimilarKeys(others: [String]) {
    let known = Settings.Key.allCases.filter(\.isInFile).map(\.rawValue) + others
    for (key, value) in values.sorted(by: { $0.key < $1.key }) {
      guard let similar = SimilarKey.find(for: key, among: known) else { continue }
      let origins = value.origins.map(\.description).joined(separator: ", ")
      warnings.append("\(origins): \(key): did you mean \(similar)? As it is, it is only a setting of jobs")
    }
  }

  /// Says what is wrong with a key's value.
  mutating func warn(_ key: Settings.Key, _ value: Value, _ problem: String) {
    let origins = value.origins.map(\.description).joined(separator: ", ")
    let text = Settings.Item(key: key.rawValue, value: value.text, origins: []).shownValue ?? ""
    warnings.append("\(origins): \(key.rawValue) = \(text): \(problem)")
  }

  /// What the environment or a file says of a key.
  func configured(_ key: Settings.Key) -> Value? {
    if let name = key.environmentVariable, let text = environment[name]?.trimmed, !text.isEmpty {
      return Value(text: text, origins: [.environment(name)])
    }
    guard key.isInFile, let value = values[key.rawValue], !value.text.isEmpty else { return nil }
    return value
  }
}

extension Double {
  /// As people write it: `5`, `0.5`.
  var plain: String { Int64(exactly: self).map(String.init) ?? String(self) }
}
