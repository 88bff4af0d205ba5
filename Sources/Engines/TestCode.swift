package import OpenQAProtocol
import Support
package import SystemPackage

/// Where a job's test code and needles are, and how the pool refers to them (protocol §5, "Test code").
package struct TestCode: Sendable, Hashable {
  /// A symbolic link to make in the pool.
  package struct Link: Sendable, Hashable {
    package var name: String
    package var target: FilePath
    /// The target appears only when the backend checks the code out.
    package var isCheckedOut = false
  }

  package var links: [Link] = []

  /// Decides on CASEDIR, PRODUCTDIR and NEEDLES_DIR and sets them in `variables`.
  /// - Parameters:
  ///   - root: the folder of all test code, `PRJDIR/share/tests` or that of a cache.
  ///   - exists: whether there is a directory of this path.
  /// - Throws: ``SetupFailure`` for a setting that leads out of the root or cannot be the name of a link.
  package init(
    _ variables: inout JobVariables, root: FilePath, exists: (FilePath) -> Bool
  ) throws(SetupFailure) {
    try TestCode.check(variables, root: root)
    let isAbsolute = variables.isTrue("ABSOLUTE_TEST_CONFIG_PATHS")
    let hasOwnFolder = variables["CASEDIR"] != nil || variables["PRODUCTDIR"] != nil
    let folder = TestCode.folder(variables, root: root, exists: exists)
    let base = folder.lastComponent?.string ?? ""
    let distri = variables["DISTRI"] ?? ""
    let product = exists(folder.appending("products/\(distri)")) ? "products/\(distri)" : ""
    let needles = folder.appending(product).appending("needles")

    let caseFolder = variables["CASEDIR"] ?? (isAbsolute ? folder.string : base)
    variables["CASEDIR"] = caseFolder
    if variables["PRODUCTDIR"] == nil {
      variables["PRODUCTDIR"] =
        if caseFolder == base {
          FilePath(base).appending(product).string
        } else if isAbsolute, !hasOwnFolder {
          folder.appending(product).string
        } else {
          product.isEmpty ? "." : product
        }
    }
    if caseFolder == base { try add(Link(name: base, target: folder), setting: "CASEDIR") }

    let needlesFolder = variables["NEEDLES_DIR"]
    let isRelative = needlesFolder.map { !$0.hasPrefix("/") && !TestCode.isURL($0) } ?? false
    if needlesFolder == nil, hasOwnFolder, isAbsolute {
      variables["NEEDLES_DIR"] = needles.string
    } else if isRelative || needlesFolder == nil && hasOwnFolder {
      let name = needlesFolder.flatMap { FilePath($0).lastComponent?.string } ?? "needles"
      var link = Link(name: name, target: needles)
      if let needlesFolder, needlesFolder.uppercased().hasPrefix("%CASEDIR%") {
        let rest = String(needlesFolder.dropFirst("%CASEDIR%".count))
        link.isCheckedOut = TestCode.isURL(caseFolder)
        link.target = FilePath((link.isCheckedOut ? TestCode.checkout(of: caseFolder) : caseFolder) + rest)
      }
      variables["NEEDLES_DIR"] = name
      try add(link, setting: "NEEDLES_DIR")
    }
  }

  /// Whether a job brings its test code and needles along, so that none of a web UI's are used.
  package static func isElsewhere(_ variables: JobVariables) -> Bool {
    ["CASEDIR", "NEEDLES_DIR"].allSatisfy { variables[$0].map(isURL) ?? false }
  }

  private mutating func add(_ link: Link, setting: String) throws(SetupFailure) {
    guard PoolName.isUsable(link.name) else {
      throw SetupFailure(.setup, "\(setting): '\(link.name.quotable)' cannot be the name of a link in the pool")
    }
    links.append(link)
  }

  /// Holds what goes into paths against what can be one, and what names a folder of test code to the root.
  private static func check(_ variables: JobVariables, root: FilePath) throws(SetupFailure) {
    for name in ["DISTRI", "VERSION", "CASEDIR", "NEEDLES_DIR", "PRODUCTDIR"] {
      guard let value = variables[name] else { continue }
      guard PoolName.isOneLine(value), value.utf8.count < 4096 else {
        throw SetupFailure(.setup, "\(name): '\(value.quotable)' is no path")
      }
      guard ["DISTRI", "VERSION", "CASEDIR"].contains(name), !value.hasPrefix("/"), !isURL(value) else { continue }
      guard FilePath(value).components.allSatisfy({ $0.kind == .regular }) else {
        throw SetupFailure(.setup, "\(name): '\(value.quotable)' leads out of \(root); write a folder's name there")
      }
    }
  }

  /// Makes the links. Blocks on the share's file system: to be called on its lane.
  /// - Throws: ``SetupFailure`` for a directory that is missing.
  package func link(in pool: FilePath) throws(SetupFailure) {
    for link in links {
      let target = link.target.isAbsolute ? link.target : pool.pushing(link.target)
      guard link.isCheckedOut || Files.status(of: target)?.kind == .directory else {
        throw SetupFailure(.setup, "The source directory \(link.target) does not exist")
      }
      do {
        try Files.remove(pool.appending(link.name))
        try Files.symbolicLink(pool.appending(link.name), to: link.target)
      } catch {
        throw SetupFailure(
          .setup, "Cannot link \(link.name) into the pool: \(error)", fault: HostFault(writingToPool: error))
      }
    }
  }

  private static func folder(_ variables: JobVariables, root: FilePath, exists: (FilePath) -> Bool) -> FilePath {
    let distri = variables["DISTRI"] ?? ""
    if let own = variables["CASEDIR"], !own.hasPrefix("/"), !isURL(own) { return root.appending(own) }
    if let version = variables["VERSION"], exists(root.appending("\(distri)-\(version)")) {
      return root.appending("\(distri)-\(version)")
    }
    return root.appending(distri)
  }

  /// Whether a text begins with a scheme as Git knows them: `https://…`, and `git@host:…` as well.
  private static func isURL(_ text: String) -> Bool {
    guard let end = text.firstIndex(where: { ":/?#".contains($0) }) else { return false }
    return text[end] == ":" && end != text.startIndex
  }

  /// The folder that a checkout of `url` gets: its last part without extension.
  private static func checkout(of url: String) -> String {
    let path = url.prefix { $0 != "?" && $0 != "#" }
    return FilePath(String(path)).stem ?? ""
  }
}
