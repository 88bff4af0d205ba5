package import Support

/// A job as the embedded web UI knows it: what was asked for, and what its worker has told of it.
package struct LocalJob: Sendable, Hashable {
  /// What a job goes through, in this order.
  package enum State: String, Sendable, Hashable {
    case scheduled
    /// Given to a worker, which has not said anything of it yet.
    case assigned
    case setup
    case running
    case uploading
    case done
  }

  /// A test module.
  package struct Module: Sendable, Hashable {
    package var name: String
    package var category: String
    package var script: String
    package var flags: JSON
    /// openQA's word for the result: `none`, `running`, `passed`, `softfailed`, `failed`, `skipped`, or any other text.
    package var result = "none"
    /// The module's result as its worker sent it last.
    package var content: JSON = .null
  }

  package let id: Int64
  package let settings: [String: JSON]
  /// The job after which this one runs, on the same worker and right away; nil for a job that waits for none.
  package let parent: Int64?
  package internal(set) var state = State.scheduled
  /// Nil before the end.
  package internal(set) var result: String?
  package internal(set) var reason: String?
  package internal(set) var worker: Int64?
  package internal(set) var modules: [Module] = []
  /// Names of images by the MD5 sum that isotovideo wrote them with, as far as results name them.
  package private(set) var namedImages: [String: String] = [:]
  /// The MD5 sums of screenshots by their names; several can have the same.
  private(set) var screenshots: [String: String] = [:]
  /// Names of texts and sounds that results name.
  package private(set) var namedFiles: Set<String> = []
  /// Files that are there, relative to the job's folder.
  package internal(set) var files: Set<String> = []
  /// The job that repeats this one; `nil` if it was not duplicated.
  package internal(set) var copy: Int64?
  /// How often its end was told.
  package internal(set) var timesEnded = 0
  /// The accepted statuses, in order.
  package private(set) var statuses: [JSON] = []

  init(id: Int64, settings: [String: JSON], parent: Int64? = nil) {
    self.id = id
    self.settings = settings
    self.parent = parent
  }

  /// DISTRI-VERSION-…: what jobs are called.
  package var name: String {
    func text(_ key: String) -> String? { settings[key]?.scalar.flatMap { $0.isEmpty ? nil : $0 } }
    let parts = [
      text("DISTRI"), text("VERSION"), text("FLAVOR"), text("ARCH"), text("BUILD").map { "Build\($0)" }, text("TEST"),
    ].compactMap { $0 }
    return parts.joined(separator: "-") + (text("MACHINE").map { "@\($0)" } ?? "")
  }

  /// Notes an image that a result names.
  mutating func note(image md5: String, as name: String) {
    namedImages[md5] = name
    screenshots[name] = md5
  }

  /// Notes a text or sound that a result names.
  mutating func note(file: String) { namedFiles.insert(file) }

  /// Notes a status that was accepted, without what is in files.
  mutating func record(_ status: [String: JSON]) { statuses.append(LiveFiles.rest(of: .object(status))) }

  /// Ends the job.
  mutating func finish(result: String?, reason: String?) {
    state = .done
    self.result = result ?? computedResult
    self.reason = reason
  }
}
