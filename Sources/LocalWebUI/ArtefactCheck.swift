import Support

/// The parts of an upload (protocol §6 and §8), checked as openQA does.
struct ArtefactCheck: Sendable, Hashable {
  /// A kind of upload.
  enum Kind: Sendable, Hashable {
    case image(md5: String, isThumbnail: Bool)
    case asset(scope: String)
    /// A result file, or a log of the test.
    case file(isLog: Bool)
  }

  /// The longest file name, in bytes.
  private static let maximumNameLength = 255

  /// The file's name, as the worker gave it.
  let name: String
  let kind: Kind
  /// The asset's path on this host; `nil` for an upload that brings its content.
  let localPath: String?

  /// - Parameters:
  ///   - filename: the name of the part `file`; `nil` if there is no such part, or it is none of a file.
  ///   - fields: the values of the other parts.
  /// - Throws: ``Refusal``.
  init(filename: String?, fields: [String: String]) throws(Refusal) {
    func isTrue(_ name: String) -> Bool { fields[name].map { JSON.string($0).isTruthy } ?? false }
    localPath = isTrue("local") ? fields["local"] : nil
    var problems: [String: Refusal.ParameterProblem] = [:]
    if filename == nil {
      if fields["file"] == nil {
        problems["file"] = .missing
      } else if localPath == nil {
        problems["file"] = .invalid
      }
    } else if filename?.contains("\n") == true {
      problems["file"] = .invalid
    }
    if isTrue("image") {
      if let md5 = fields["md5"] {
        // One line break at the end is let pass.
        let digits = md5.hasSuffix("\n") ? md5.dropLast() : md5[...]
        let isSum = digits.utf8.count == 32 && digits.allSatisfy { $0.isASCII && $0.isHexDigit }
        if !isSum { problems["md5"] = .invalid }
      } else {
        problems["md5"] = .missing
      }
    }
    guard problems.isEmpty else { throw Refusal(parameters: problems) }
    name = filename ?? ""
    if isTrue("image") {
      let md5 = (fields["md5"] ?? "").prefix { $0 != "\n" }
      kind = .image(md5: String(md5), isThumbnail: isTrue("thumb"))
    } else if isTrue("asset") {
      kind = .asset(scope: fields["asset"] == "public" ? "public" : "private")
      guard ArtefactCheck.isPlain(name) else {
        throw Refusal(500, "Failed receiving asset: Can't open file \"\(name)\": No such file or directory")
      }
    } else {
      kind = .file(isLog: isTrue("ulog"))
      guard ArtefactCheck.isPlain(name) else { throw .internalError }
    }
  }

  /// Returns whether a file of this name stays in its folder, and can be made there. openQA writes those whose path leads to
  /// another folder that exists; here they are refused like all others.
  static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= maximumNameLength && !name.contains("/") && !name.contains("\0")
      && name != "." && name != ".."
  }

  /// The file's place in its job's folder, unless it is an asset. An image whose name is no file name is stored by its sum.
  var place: String {
    switch kind {
    case .image(let md5, let isThumbnail):
      let name = ArtefactCheck.isPlain(name) ? name : "\(md5).png"
      return isThumbnail ? ".thumbs/\(name)" : name
    case .file(let isLog): return isLog ? "ulogs/\(name)" : name
    case .asset(let scope): return "assets/\(scope)/\(name)"
    }
  }
}
