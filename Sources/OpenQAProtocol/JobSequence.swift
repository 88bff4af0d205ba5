package import Support

/// Directly chained jobs that a web UI hands out together (protocol §3.2, grab_jobs, and §3.3).
package struct JobSequence: Sendable, Hashable {
  /// The jobs' dependencies: in each array the first job is the parent of all others in it.
  package indirect enum Node: Sendable, Hashable {
    case job(Int64)
    case chain([Node])

    fileprivate var ids: [Int64] {
      switch self {
      case .job(let id): [id]
      case .chain(let nodes): nodes.flatMap(\.ids)
      }
    }
  }

  /// Every job by its id.
  package let jobs: [Int64: JobInfo]
  /// The order to run them in.
  package let sequence: [Node]

  /// Takes the `job_info` of a grab_jobs message apart.
  /// - Throws: ``WebUIMessage/Malformed`` with the jobs to reject, for data or a sequence that is missing or names a job
  ///   that does not come with it.
  package init(_ json: JSON) throws(WebUIMessage.Malformed) {
    guard let data = json["data"]?.object, !data.isEmpty else {
      throw WebUIMessage.Malformed("grab_jobs: job_info has no data")
    }
    let named = data.keys.compactMap { Int64($0) }.sorted()
    func malformed(_ problem: String, _ rejection: String) -> WebUIMessage.Malformed {
      WebUIMessage.Malformed("grab_jobs: \(problem)", jobs: named, rejection: rejection)
    }
    guard let order = json["sequence"]?.array else {
      throw malformed("job_info has no sequence", "job info lacks execution sequence")
    }
    var jobs: [Int64: JobInfo] = [:]
    for (key, value) in data {
      let job: JobInfo
      do { job = try JobInfo(value) } catch { throw malformed("job \(key): \(error)", "the provided job is invalid") }
      guard String(job.id) == key else {
        throw malformed("job \(key) has the id \(job.id)", "the provided job is invalid")
      }
      jobs[job.id] = job
    }
    self.jobs = jobs
    var unnamed = Set(jobs.keys)
    do {
      sequence = try JobSequence.nodes(order, jobs: jobs)
    } catch {
      throw malformed(
        "the sequence names job \(error.name), which is missing", "job data for job \(error.name) is missing")
    }
    for id in sequence.flatMap(\.ids) where unnamed.remove(id) == nil {
      throw malformed("the sequence names job \(id) twice", "job \(id) is in the execution sequence twice")
    }
    // It would wait for ever.
    if let id = unnamed.min() {
      throw malformed("the sequence lacks job \(id)", "job \(id) is not in the execution sequence")
    }
  }

  private struct UnknownJob: Error { var name: String }

  private static func nodes(_ elements: [JSON], jobs: [Int64: JobInfo]) throws(UnknownJob) -> [Node] {
    var nodes: [Node] = []
    for element in elements {
      if let chain = element.array {
        nodes.append(.chain(try Self.nodes(chain, jobs: jobs)))
      } else if let id = JobInfo.id(of: element), jobs[id] != nil {
        nodes.append(.job(id))
      } else {
        throw UnknownJob(name: element.scalar ?? "?")
      }
    }
    return nodes
  }
}
