package import OpenQAProtocol
import Support
package import SystemPackage

/// What `GET /status/N` says of a request.
enum CacheStatus: Sendable, Hashable {
  /// Not done yet; the service's own word for how far it is.
  case waiting(String)
  case processed(CacheReport)

  init(_ answer: JSON) {
    let word = answer["status"]?.string ?? "no status"
    self = word == "processed" ? .processed(CacheReport(answer)) : .waiting(word)
  }
}

/// What became of a request, as the service tells it; and what that means for the job.
package struct CacheReport: Sendable, Hashable {
  /// The log of the download.
  package var output: String
  /// `exit code N` of rsync; nil if there was none to run.
  package var result: String?
  package var hasDownloadError: Bool
  /// How long it took, from the first question on.
  package var seconds: Int64 = 0

  package init(output: String = "", result: String? = nil, hasDownloadError: Bool = false) {
    self.output = output
    self.result = result
    self.hasDownloadError = hasDownloadError
  }

  init(_ answer: JSON) {
    output = answer["output"]?.scalar ?? ""
    result = answer["result"]?.scalar
    hasDownloadError = answer["has_download_error"]?.isTruthy ?? false
  }

  /// Why an asset cannot be used; nil if it can.
  /// - Parameters:
  ///   - path: where the cache has it.
  ///   - isThere: whether it has.
  package func failure(ofAsset name: String, at path: FilePath, isThere: Bool) -> SetupFailure? {
    guard hasDownloadError || !isThere else { return nil }
    let message = "Failed to download \(name) to \(path)"
    if hasRefusal { return SetupFailure(.asset, message) }
    let isPruned = output.split(separator: "\n").contains { line in
      line.contains("Purging") && line.contains(name) && line.contains("because we need space for new assets")
    }
    let remedy = isPruned ? ". Asset was pruned immediately after download (poo#71827), please retrigger" : ""
    return SetupFailure(.cache, message + remedy)
  }

  /// Whether the web UI has answered with a status from 400 to 499: it does not have the asset. Sizes of 400 and some
  /// MiB look much the same.
  private var hasRefusal: Bool {
    let words = output.split(whereSeparator: \.isWhitespace)
    return zip(words, words.dropFirst()).contains { word, next in
      word.count >= 3 && word.suffix(3).allSatisfy { $0.isASCII && $0.isNumber } && word.suffix(3).first == "4"
        && word.dropLast(3).last?.isNumber != true && !CacheReport.units.contains { next.hasPrefix($0) }
    }
  }

  private static let units = ["Byte", "KiB", "MiB", "GiB", "TiB"]

  /// What comes of fetching test code.
  package enum Sync: Sendable, Hashable {
    case done
    /// What went wrong on the way, and may not the next time.
    case again(String)
    case failed(SetupFailure)
  }

  /// What comes of fetching test code.
  /// - Parameter remainingTries: this one included.
  package func sync(remainingTries: Int) -> Sync {
    // Without a result, another request has just done the same.
    let result = result ?? "exit code 0"
    if result == "exit code 0" { return .done }
    if remainingTries > 1, let problem = CacheReport.passingProblems.first(where: { result.hasExitCode($0.code) }) {
      return .again("\(problem.text) (\(result)), trying again")
    }
    return .failed(SetupFailure(.cache, "Failed to rsync tests: \(result)"))
  }

  /// Exit codes of rsync after which another try may help.
  private static let passingProblems: [(code: Int, text: String)] = [
    (10, "Error in socket I/O"), (23, "Partial transfer due to error"),
    (24, "Partial transfer due to vanished source files"),
  ]
}

extension String {
  /// Whether `exit code` stands in the text with this number.
  fileprivate func hasExitCode(_ code: Int) -> Bool {
    guard let range = firstRange(of: "exit code ") else { return false }
    return Int(self[range.upperBound...].prefix { $0.isASCII && $0.isNumber }) == code
  }
}
