import ProcessTree
import Support
import SystemPackage

/// What is installed on this host, in the pool for every job to bring to its web UI (protocol §1.2, PACKAGES_CMD).
struct PackageList: Sendable {
  /// There is no list: the slot must not start, since its jobs could not be compared.
  struct Missing: Error, CustomStringConvertible {
    var description: String
  }

  /// How long it may take to make the list: less than systemd waits for the worker's start.
  static let limit = Duration.seconds(120)

  /// A shell command line.
  let command: String
  /// What it gets.
  let environment: [String: String]

  /// Makes the list.
  /// - Throws: ``Missing``, `CancellationError`.
  func make(limit: Duration = PackageList.limit) async throws -> [UInt8] {
    let shell = Command("/bin/sh", arguments: ["-c", command], environment: environment, workingDirectory: "/")
    let answer: Program.Answer
    do {
      answer = try await Program.answer(of: shell, limit: limit, size: 16 << 20)
    } catch let error as ProcessError {
      throw missing("\(error)")
    }
    let complaint = answer.errors.trimmed
    guard answer.exit.isSuccess else {
      throw missing("it failed with exit status \(answer.exit)\(complaint.isEmpty ? "" : ": \(complaint)")")
    }
    guard !answer.output.isEmpty else {
      throw missing("it printed nothing\(complaint.isEmpty ? "" : " but \(complaint)")")
    }
    return answer.output
  }

  private func missing(_ problem: String) -> Missing {
    Missing(description: "No list of packages: \(problem). Mend PACKAGES_CMD = \(command), or remove it")
  }
}
