package import OpenQAProtocol

/// Why a job that was taken is not run.
package struct SkipReason: Sendable, Hashable {
  /// As the log has it.
  package var text: String
  /// What it was to stop for; nil if it is skipped because of something else than a wish.
  package var stop: StopReason?

  /// Skips for `text`, and for `stop` where that is what the web UI is to hear.
  package init(_ text: String, _ stop: StopReason? = nil) { (self.text, self.stop) = (text, stop) }
}

/// The jobs that a web UI has given together and that are still to be run, one after the other (protocol §3.3).
package struct JobQueue: Sendable, Hashable {
  /// A job that waits.
  package struct Entry: Sendable, Hashable {
    package var job: JobInfo
    /// The job that has to end well first.
    package var parent: Int64?
  }

  /// In the order in which they are run.
  package internal(set) var entries: [Entry]
  /// Jobs that did not end well.
  var failed: Set<Int64> = []
  /// Jobs that the web UI does not want any more, each with its command.
  var unwanted: [Int64: JobCommand] = [:]

  /// No jobs.
  package init() { entries = [] }

  /// One job.
  package init(_ job: JobInfo) { entries = [Entry(job: job)] }

  /// The jobs of a tree, depth first. The first job of an array is the parent of the others in it, and of the first job of
  /// each array in it.
  package init(_ sequence: JobSequence) {
    var entries: [Entry] = []
    func add(_ nodes: [JobSequence.Node], below outer: Int64?) {
      var parent = outer
      for (index, node) in nodes.enumerated() {
        switch node {
        case .job(let id):
          if let job = sequence.jobs[id] { entries.append(Entry(job: job, parent: parent)) }
          if index == 0 { parent = id }
        case .chain(let chain): add(chain, below: parent)
        }
      }
    }
    add(sequence.sequence, below: nil)
    self.entries = entries
  }

  package var isEmpty: Bool { entries.isEmpty }
  /// The jobs' ids, in the order in which they are run.
  package var ids: [Int64] { entries.map(\.job.id) }

  /// Takes the next job out.
  package mutating func next() -> Entry? { entries.isEmpty ? nil : entries.removeFirst() }

  /// Notes that a job did not end well, or was skipped.
  package mutating func note(failed job: Int64) { failed.insert(job) }

  /// Lets a job be skipped when its turn comes. Whether it waits here.
  package mutating func skip(_ job: Int64, for command: JobCommand) -> Bool {
    guard ids.contains(job) else { return false }
    unwanted[job] = command
    return true
  }

  /// Why a job that was taken out is not to be run; nil if it is.
  package func obstacle(to entry: Entry) -> SkipReason? {
    if let command = unwanted[entry.job.id] {
      return SkipReason("the web UI sent \(command.rawValue)", StopReason(command: command))
    }
    guard let parent = entry.parent, failed.contains(parent) else { return nil }
    return SkipReason("its parent, job \(parent), did not end well")
  }
}
