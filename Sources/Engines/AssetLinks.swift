package import OpenQAProtocol
import Support
package import SystemPackage

/// Brings a job's assets from the share or a cache into its pool (protocol §5, "Assets").
package struct AssetLinks: Sendable {
  /// A setting that names an asset.
  package struct Asset: Sendable, Hashable {
    package var setting: String
    /// `iso`, `hdd` or `other`.
    package var type: String
    package var name: String
  }

  /// The assets that a job's variables name, in the order of their settings.
  package static func assets(in variables: JobVariables) -> [Asset] {
    variables.values.keys.sorted().compactMap { setting in
      guard let name = variables[setting], let type = type(of: setting, value: name) else { return nil }
      return Asset(setting: setting, type: type, name: name)
    }
  }

  private static func type(of setting: String, value: String) -> String? {
    let isNumbered = { (prefix: String) in
      setting.hasPrefix(prefix) && setting.count > prefix.count
        && setting.dropFirst(prefix.count).allSatisfy { $0.isASCII && $0.isNumber }
    }
    if setting == "ISO" || isNumbered("ISO_") { return "iso" }
    if isNumbered("HDD_") { return "hdd" }
    if isNumbered("ASSET_") { return "other" }
    if value.hasPrefix("/") { return nil }
    switch setting {
    case "UEFI_PFLASH_CODE", "UEFI_PFLASH_VARS": return "hdd"
    case "KERNEL", "INITRD": return "other"
    default: return nil
    }
  }

  /// The assets that a cache has to bring before they are linked, their names as they are there.
  /// - Throws: ``SetupFailure`` for a name that is none of a file in the cache.
  package static func cacheable(in variables: JobVariables) throws(SetupFailure) -> [Asset] {
    var found: [Asset] = []
    for asset in assets(in: variables) {
      let isVariables = asset.setting == "UEFI_PFLASH_VARS"
      if isVariables, !variables.isTrue("UEFI") { continue }
      let name = asset.name.trimmed
      guard isPath(name), FilePath(name).components.count == 1 else {
        if isVariables { continue }
        throw SetupFailure(
          .asset,
          "Cannot fetch \(asset.setting) asset \(asset.type)/\(name.quotable): with a cache, its name has to be that of "
            + "a file, without folders")
      }
      found.append(Asset(setting: asset.setting, type: asset.type, name: name))
    }
    return found
  }

  /// Links every asset of the job into the pool and sets its setting to the name there; with ABSOLUTE_TEST_CONFIG_PATHS,
  /// only to its path on the share.
  ///
  /// Blocks on the share's file system: to be called on its lane.
  /// - Throws: ``SetupFailure`` that names the asset.
  package static func link(_ variables: inout JobVariables, factory: FilePath, pool: FilePath) throws(SetupFailure) {
    for asset in assets(in: variables) {
      guard let source = locate(asset, in: factory) else {
        if asset.setting == "UEFI_PFLASH_VARS", !variables.isTrue("UEFI") { continue }
        throw SetupFailure(.asset, "Cannot find \(asset.setting) asset \(asset.type)/\(asset.name.quotable)!")
      }
      if variables.isTrue("ABSOLUTE_TEST_CONFIG_PATHS") {
        variables[asset.setting] = source.string
      } else {
        variables[asset.setting] = try link(asset, at: source, in: pool).lastComponent?.string
      }
    }
  }

  /// Links assets that a cache has brought into the pool, and sets their settings to the names there, or the paths with
  /// ABSOLUTE_TEST_CONFIG_PATHS: what is linked stays, whatever the cache throws away.
  ///
  /// Blocks on the cache's file system: to be called on its lane.
  /// - Parameter folder: where the cache has them.
  /// - Throws: ``SetupFailure`` that names the asset.
  package static func link(
    _ cached: [Asset], from folder: FilePath, _ variables: inout JobVariables, pool: FilePath
  ) throws(SetupFailure) {
    for asset in cached {
      let link = try link(asset, at: folder.appending(asset.name), in: pool)
      variables[asset.setting] =
        variables.isTrue("ABSOLUTE_TEST_CONFIG_PATHS") ? link.string : link.lastComponent?.string
    }
  }

  private static func link(_ asset: Asset, at source: FilePath, in pool: FilePath) throws(SetupFailure) -> FilePath {
    let name = source.lastComponent?.string ?? ""
    guard PoolName.isUsable(name) else {
      throw SetupFailure(
        .asset,
        "\(asset.setting) asset \(asset.type)/\(asset.name.quotable) cannot be linked: rename it, \(name) is kept "
          + "for the worker's own files")
    }
    do {
      try link(source, at: pool.appending(name))
    } catch {
      throw SetupFailure(
        .asset, "Cannot link \(asset.setting) asset \(asset.type)/\(asset.name.quotable): \(error)",
        fault: HostFault(writingToPool: error))
    }
    return pool.appending(name)
  }

  /// Whether a name is a path that does not lead out of the folder it is looked for in.
  private static func isPath(_ name: String) -> Bool {
    PoolName.isOneLine(name) && !name.hasPrefix("/")
      && FilePath(name).components.allSatisfy { $0.kind == .regular }
  }

  private static func locate(_ asset: Asset, in factory: FilePath) -> FilePath? {
    // A name that leads out of the factory is no asset's name.
    guard isPath(asset.name) else { return nil }
    let folder = factory.appending(asset.type)
    return [folder.appending(asset.name), folder.appending("fixed").appending(asset.name)]
      .first { Files.status(of: $0) != nil }
  }

  private static func link(_ source: FilePath, at path: FilePath) throws(FileError) {
    try Files.remove(path)
    if Files.status(of: source, followsLinks: false)?.kind == .file {
      // Another file system, or one without hard links: a symbolic link serves as well.
      do { return try Files.hardLink(path, to: source) } catch {}
    }
    try Files.symbolicLink(path, to: source)
  }
}
