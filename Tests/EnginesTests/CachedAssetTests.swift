import Engines
import OpenQAProtocol
import Support
import SystemPackage
import TestSupport
import Testing

@Suite("Assets from a cache")
struct CachedAssetTests {
  @Test("which assets are asked for")
  func cacheable() throws {
    let values = try variables([
      "ISO": "a.iso", "HDD_2": " b.qcow2 ", "ASSET_256": "c", "KERNEL": "/boot/vmlinuz", "REPO_0": "r", "HDD_X": "x",
      "UEFI_PFLASH_CODE": "code", "UEFI_PFLASH_VARS": "vars", "UEFI": "1", "ISO_1": "", "HDD_3": "0",
    ])
    let found = try AssetLinks.cacheable(in: values).map { "\($0.setting) \($0.type)/\($0.name)" }
    #expect(
      found == [
        "ASSET_256 other/c", "HDD_2 hdd/b.qcow2", "ISO iso/a.iso", "UEFI_PFLASH_CODE hdd/code",
        "UEFI_PFLASH_VARS hdd/vars",
      ])
  }

  @Test("UEFI_PFLASH_VARS only with UEFI, and never in the way", arguments: ["0", "1"])
  func flash(uefi: String) throws {
    let values = try variables(["UEFI_PFLASH_VARS": "x/../../vars", "UEFI": .string(uefi)])
    #expect(try AssetLinks.cacheable(in: values).isEmpty)
  }

  @Test(
    "names that are none of a file in the cache",
    arguments: ["../x.iso", "fixed/x.iso", "/etc/passwd", "..", ".", "a\nb", "a\0b", " "])
  func unusable(name: String) throws {
    let values = try variables(["ISO": .string(name)])
    let failure = #expect(throws: SetupFailure.self) { try AssetLinks.cacheable(in: values) }
    #expect(failure?.category == .asset && failure?.message.hasPrefix("Cannot fetch ISO asset iso/") == true)
    #expect(failure?.message.utf8.contains(10) == false)
  }

  @Test("linked hard into the pool, by name or path", arguments: [false, true])
  func linked(isAbsolute: Bool) throws {
    let folder = try TemporaryFolder()
    let (cache, pool) = (folder.path.appending("cache"), folder.path.appending("pool"))
    for path in [cache, pool] { try Files.makeDirectory(path) }
    try Files.replace(cache.appending("a.iso"), with: Array("new".utf8))
    // Left of a job before.
    try Files.replace(pool.appending("a.iso"), with: Array("old".utf8))
    var values = try variables(["ISO": " a.iso", "ABSOLUTE_TEST_CONFIG_PATHS": isAbsolute ? "1" : "0"])
    try AssetLinks.link(try AssetLinks.cacheable(in: values), from: cache, &values, pool: pool)
    #expect(values["ISO"] == (isAbsolute ? pool.appending("a.iso").string : "a.iso"))
    try Files.remove(cache)
    #expect(try Files.read(pool.appending("a.iso")) == Array("new".utf8), "the cache may throw it away")
  }

  @Test("a name that the worker needs for itself")
  func reserved() throws {
    let folder = try TemporaryFolder()
    var values = try variables(["ISO": "vars.json"])
    let cached = try AssetLinks.cacheable(in: values)
    let failure = #expect(throws: SetupFailure.self) {
      try AssetLinks.link(cached, from: folder.path, &values, pool: folder.path)
    }
    #expect(failure?.category == .asset)
  }

  static let places: [(settings: [String: JSON], isElsewhere: Bool)] = [
    (["CASEDIR": "https://g/t.git", "NEEDLES_DIR": "https://g/n.git"], true),
    (["CASEDIR": "git@g:t.git#main", "NEEDLES_DIR": "git@g:n.git"], true),
    (["CASEDIR": "https://g/t.git"], false),
    (["CASEDIR": "https://g/t.git", "NEEDLES_DIR": "relative"], false),
    (["CASEDIR": "https://g/t.git", "NEEDLES_DIR": "%CASEDIR%/n"], false),
    (["CASEDIR": "/t", "NEEDLES_DIR": "https://g/n.git"], false), ([:], false),
  ]

  @Test("whether a web UI's test code is needed", arguments: places)
  func elsewhere(_ example: (settings: [String: JSON], isElsewhere: Bool)) throws {
    #expect(TestCode.isElsewhere(try variables(example.settings)) == example.isElsewhere)
  }
}
