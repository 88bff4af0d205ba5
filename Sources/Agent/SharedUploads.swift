import Configuration
import Upload
import WebUIClient

/// What the slots of a host share of their uploads to one web UI.
struct SharedUploads: Sendable {
  /// The places for what is on its way.
  let budget: UploadBudget
  let known = KnownImages()

  /// One for each web UI, by its origin, as large as any slot wants it.
  static func all(for settings: [Settings]) -> [String: SharedUploads] {
    var limits: [String: Int] = [:]
    for settings in settings {
      for webUI in settings.webUIs {
        limits[webUI.address.origin] = max(limits[webUI.address.origin] ?? 1, settings.upload.concurrency)
      }
    }
    return limits.mapValues { SharedUploads(budget: UploadBudget($0)) }
  }
}
