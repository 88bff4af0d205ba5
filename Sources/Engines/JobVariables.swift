package import Configuration
package import OpenQAProtocol
package import Support

/// The variables of a job (protocol §5, "Settings"): the web UI's settings with the worker's laid over.
package struct JobVariables: Sendable, Hashable {
  /// What the backend reads from `vars.json`.
  package var values: [String: JSON]

  /// Lays the worker's settings over the job's own.
  ///
  /// `job` is changed to what the web UI and `job.json` are shown; ``values`` have what only the backend needs in addition.
  package init(job: inout JobInfo, settings: Settings, webUI: WebUIAddress, workerID: Int64, share: String) {
    var merged = job.settings
    for name in merged.keys where JobVariables.isForbidden(name) { merged[name] = nil }
    for (name, value) in settings.jobSettings { merged[name] = value }
    merged["OPENQA_HOSTNAME"] = .string(webUI.authority)
    merged["QEMUPORT"] = .string(String(settings.qemuPort))
    merged["VNC"] = .string(String(settings.vncDisplay))
    job.settings = merged
    // Web UIs have always got this one as a number.
    job.settings["QEMUPORT"] = .integer(Int64(settings.qemuPort))
    merged["OPENQA_URL"] = .string(webUI.entry)
    merged["WORKER_INSTANCE"] = .integer(Int64(settings.instance))
    merged["WORKER_ID"] = .integer(workerID)
    // os-autoinst up to 2023 looks for needles relative to it.
    merged["PRJDIR"] = .string(share)
    values = merged
  }

  /// The text of a variable; nil if it is not set or empty.
  package subscript(name: String) -> String? {
    get { values[name]?.scalar.flatMap { $0.isEmpty ? nil : $0 } }
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
