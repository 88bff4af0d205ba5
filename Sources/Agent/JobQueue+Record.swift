import OpenQAProtocol
import Support

/// The queue as a job's record has it.
extension JobQueue {
  var record: JSON {
    [
      "entries": .array(
        entries.map { entry in
          var json: JSON = ["job": entry.job.json]
          json["parent"] = entry.parent.map { .integer($0) }
          return json
        }),
      "failed": .array(failed.sorted().map { .integer($0) }),
      "unwanted": .object(
        Dictionary(uniqueKeysWithValues: unwanted.map { (String($0), .string($1.rawValue)) })),
    ]
  }

  /// - Throws: `ProtocolError` for a job that is none.
  init(record: JSON) throws(ProtocolError) {
    entries = []
    for entry in record["entries"]?.array ?? [] {
      entries.append(Entry(job: try JobInfo(entry["job"] ?? .null), parent: entry["parent"]?.integer))
    }
    failed = Set((record["failed"]?.array ?? []).compactMap(\.integer))
    for (id, command) in record["unwanted"]?.object ?? [:] {
      if let id = Int64(id), let command = JobCommand(rawValue: command.string ?? "") { unwanted[id] = command }
    }
  }
}
