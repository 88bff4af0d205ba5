/// A slot's settings as a table for people: what counts, and where it comes from. Secrets are masked.
package struct SettingsReport: Sendable, CustomStringConvertible {
  private let settings: Settings
  private let detected: [String: String]

  /// - Parameter detected: values of keys that are found out on the host unless they are configured.
  package init(_ settings: Settings, detected: [String: String] = [:]) {
    self.settings = settings
    self.detected = detected
  }

  /// The table's lines, each ended by a newline.
  package var description: String {
    let known = Settings.Key.allCases.count
    let own = settings.items.dropFirst(known)
    var rows: [[String]] = [["KEY", "VALUE", "SOURCE"]]
    rows += settings.items.prefix(known).map { row(completed($0)) }
    for webUI in settings.webUIs {
      rows += [[], ["Web UI \(webUI.address.entry)"]]
      rows += webUI.items.map(row)
    }
    if !own.isEmpty {
      rows += [[], ["Unknown here, given to every job"]]
      rows += own.map(row)
    }
    return head + SettingsReport.table(rows)
  }

  private var head: String {
    let files = settings.files.isEmpty ? "none" : settings.files.map { "\($0)" }.joined(separator: ", ")
    return """
      Slot \(settings.instance): pool \(settings.pool), command server port \(settings.qemuPort + 1), \
      VNC display \(settings.vncDisplay)
      Files, the later laid over the earlier: \(files)
      Isotovideo: \(settings.isotovideo.map { "\($0) (--isotovideo)" } ?? "found where it is installed (default)")
      Pool directory: \(settings.keepsPool ? "left as it is between jobs (--no-cleanup)" : "cleaned for each job (default)")


      """
  }

  private func completed(_ item: Settings.Item) -> Settings.Item {
    guard item.value == nil, let value = detected[item.key] else { return item }
    return Settings.Item(key: item.key, value: value, origins: [.detected])
  }

  private func row(_ item: Settings.Item) -> [String] {
    let origins = item.origins.map(\.description).joined(separator: ", ")
    // A value can come from anywhere: nothing in it may act on a terminal.
    let value = item.shownValue.map { String(String.UnicodeScalarView($0.unicodeScalars.map(\.printable))) }
    return [item.key, value.map { $0.isEmpty ? "(empty)" : $0 } ?? "-", origins]
  }

  /// Aligns the rows of three cells; others stay as they are. A very long cell does not push the others away.
  private static func table(_ rows: [[String]]) -> String {
    let widths = (0..<2).map { column in
      rows.filter { $0.count == 3 }.map { $0[column].count }.filter { $0 <= 48 }.max() ?? 0
    }
    return rows.map { row in
      var line = ""
      for (index, cell) in row.enumerated() {
        line += cell
        guard index < 2, row.count == 3 else { continue }
        line += String(repeating: " ", count: max(0, widths[index] - cell.count) + 2)
      }
      return line + "\n"
    }.joined()
  }
}

extension Unicode.Scalar {
  fileprivate var printable: Unicode.Scalar {
    properties.generalCategory == .control || properties.generalCategory == .format ? "\u{FFFD}" : self
  }
}
