package import Configuration
package import OpenQAProtocol
package import Support

/// The variables of a job (protocol §5, "Settings"): the web UI's settings with the worker's laid over.
package struct JobVariables: Sendable, Hashable {
  /// What the backend reads from `vars.json`.
  package var values: [String: JSON]

  /// Lays the worker's settings over the job's own.
  ///
  /// `job` is changed to what the web UI and `job.json` are shown; ``values`` have what only the backend needs in
  /// addition.
  ///
  /// Where versions differ, what older ones need is given to all: PRJDIR unless it is set, and NOVIDEO=1 for jobs whose
  /// MAX_JOB_TIME, before any TIMEOUT_SCALE, is more than two hours, unless NOVIDEO is set (0 brings the video back).
  /// Placeholders are resolved for all, too, which does nothing where the web UI has resolved them.
  /// - Parameter share: where needles are looked for by backends up to 2023.
  package init(job: inout JobInfo, settings: Settings, webUI: WebUIAddress, workerID: Int64, share: String) {
    var merged = job.settings
    for name in merged.keys where JobVariables.isForbidden(name) { merged[name] = nil }
    for (name, value) in settings.jobSettings { merged[name] = value }
    merged["OPENQA_HOSTNAME"] = .string(webUI.authority)
    merged["QEMUPORT"] = .string(String(settings.qemuPort))
    merged["VNC"] = .string(String(settings.vncDisplay))
    if merged["NOVIDEO"] == nil, let limit = merged["MAX_JOB_TIME"]?.scalar?.leadingNumber, limit > 7200 {
      merged["NOVIDEO"] = 1
    }
    let shown = merged.keys
    merged["OPENQA_URL"] = .string(webUI.entry)
    merged["WORKER_INSTANCE"] = .integer(Int64(settings.instance))
    merged["WORKER_ID"] = .integer(workerID)
    if merged["PRJDIR"] == nil { merged["PRJDIR"] = .string(share) }
    unresolvable = Placeholders.resolve(&merged)
    job.settings = merged.filter { shown.contains($0.key) }
    values = merged
  }

  /// Why placeholders were left in the values; nil if none were.
  package let unresolvable: Placeholders.Unresolvable?

  /// The text of a variable; nil if it is not set, empty, or `0`, which Perl takes for no text either.
  package subscript(name: String) -> String? {
    get { values[name]?.scalar.flatMap { $0.isEmpty || $0 == "0" ? nil : $0 } }
    set { values[name] = newValue.map { .string($0) } }
  }

  /// Whether a variable is set to something that Perl calls true.
  package func isTrue(_ name: String) -> Bool { values[name]?.isTruthy ?? false }

  /// What only an administrator may set, since it names programs that run on the host.
  private static func isForbidden(_ name: String) -> Bool {
    ["GENERAL_HW_CMD_DIR", "GIT_CACHE_DIR", "GIT_CACHE_DIR_LIMIT", "SYNC_ASSETS_HOOK"].contains(name)
      || name.hasPrefix("EXTERNAL_VIDEO_ENCODER")
  }
}
