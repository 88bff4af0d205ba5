import Support

/// A worker's registration (protocol §3.1), checked as openQA does.
struct RegistrationCheck: Sendable, Hashable {
  let host: String
  let instance: Int64
  let classes: String
  /// The jobs that the worker names as its own.
  let jobs: [Int64]

  /// Creates a registration from the parameters of a request. Of parameters that come twice, the last one counts.
  /// - Throws: ``Refusal``.
  init(_ parameters: [(name: String, value: String)]) throws(Refusal) {
    func value(_ name: String) -> String? { parameters.last { $0.name == name }?.value }
    let required = ["host", "instance", "cpu_arch", "mem_max", "worker_class"]
    let missing = required.filter { value($0) == nil }
    guard missing.isEmpty else {
      throw Refusal(parameters: Dictionary(uniqueKeysWithValues: missing.map { ($0, .missing) }))
    }
    guard JSON.string(value("websocket_api_version") ?? "").looseNumber == 1 else {
      throw Refusal(426, "Incompatible websocket API version")
    }
    let text = value("instance") ?? ""
    let failure =
      "Failed: DBIx::Class::Storage::DBI::_dbh_execute(): DBI Exception: DBD::Pg::st execute failed: ERROR:  "
    guard !text.isEmpty else {
      throw Refusal(500, failure + "invalid input syntax for type integer: \"\"")
    }
    guard let instance = Int32(exactly: JSON.string(text).looseNumber.rounded(.towardZero)) else {
      throw Refusal(500, failure + "value \"\(text)\" is out of range for type integer")
    }
    host = value("host") ?? ""
    self.instance = Int64(instance)
    classes = value("worker_class") ?? ""
    jobs = parameters.filter { $0.name == "job_id" }.compactMap { Int64($0.value) }
  }
}
