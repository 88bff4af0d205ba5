package import OpenQAProtocol
import Support
package import SystemPackage

/// Brings a job's assets from the share into its pool (protocol §5, "Assets").
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

  /// Links every asset of the job into the pool and sets its setting to the name there.
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
        continue
      }
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
        throw SetupFailure(.asset, "Cannot link \(asset.setting) asset \(asset.type)/\(asset.name.quotable): \(error)")
      }
      variables[asset.setting] = name
    }
  }

  private static func locate(_ asset: Asset, in factory: FilePath) -> FilePath? {
    // A name that leads out of the factory is no asset's name.
    guard PoolName.isOneLine(asset.name), !FilePath(asset.name).components.contains(where: { $0.kind != .regular }),
      !asset.name.hasPrefix("/")
    else {
      return nil
    }
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
