import OpenQAProtocol
import WebUIClient

/// A web UI's refusal of a status: of the job, or of what is in it.
struct StatusRefusal: Error, CustomStringConvertible {
  let description: String

  /// The refusal that an error is; nil for anything else, such as a web UI that is unavailable.
  init?(_ error: WebUIError) {
    // 413 comes from a proxy in front, for results that are too large.
    guard [.status(400), .status(413)].contains(error.code) else { return nil }
    description = error.description
  }
}

/// The results of a job that its web UI refuses, and that are withheld for that reason.
struct RefusedResults: Sendable {
  private var entries: Set<TestOrderEntry> = []
  /// Modules with the content that was refused: other content may be taken.
  private var modules: [String: [UInt8]] = [:]
  /// Those of them that are refused without their details, too.
  private var hopeless: Set<String> = []
  private var reason = ""

  mutating func note(entries: [TestOrderEntry], _ refusal: StatusRefusal?) {
    self.entries.formUnion(entries)
    reason = refusal?.description ?? reason
  }

  mutating func note(module: String, content: [UInt8], _ refusal: StatusRefusal?) {
    modules[module] = content
    reason = refusal?.description ?? reason
  }

  mutating func noteHopeless(module: String) { hopeless.insert(module) }

  /// Takes out of results what was refused before.
  func withhold(from results: inout CollectedResults) {
    results.testOrder?.removeAll { entries.contains($0) }
    for entry in entries { results.modules[entry.name] = nil }
    for (name, content) in modules where results.modules[name] == content {
      results.modules[name] = hopeless.contains(name) ? nil : results.withoutDetails[name]
    }
  }

  /// A warning that names the withheld results and the reason; nil if nothing is withheld.
  var warning: String? {
    let names = Set(entries.map(\.name)).union(modules.keys).sorted()
    guard !names.isEmpty else { return nil }
    // openQA keeps 300 characters of a reason.
    var list = names.prefix(3).map { $0.count > 40 ? "\($0.prefix(40))…" : $0 }.joined(separator: ", ")
    if names.count > 3 { list += " and \(names.count - 3) more" }
    return "results of \(list) are withheld, since the web UI refuses them: \(reason.prefix(300))"
  }
}

/// The search for items that a request is refused for.
enum Halving {
  /// Returns the items that are refused, by trying all of them, then each half of those that are refused together.
  /// - Throws: what `isTaken` throws.
  nonisolated(nonsending) static func find<Item: Sendable>(
    in items: [Item], isTaken: nonisolated(nonsending) ([Item]) async throws -> Bool
  ) async rethrows -> [Item] {
    if items.isEmpty { return [] }
    if try await isTaken(items) { return [] }
    if items.count == 1 { return items }
    let middle = items.count / 2
    return try await find(in: Array(items[..<middle]), isTaken: isTaken)
      + find(in: Array(items[middle...]), isTaken: isTaken)
  }
}
