import Glibc
import Support
import SystemPackage
import TestSupport
import Testing
import Upload

@Suite("The archive")
struct ArchiveTests {
  let folder: TemporaryFolder
  let pool: FilePath
  let place: FilePath
  let summary = Archive.Summary(job: 4711, name: "a-b", webUI: "http://w", result: "incomplete", problem: "away")

  init() throws {
    folder = try TemporaryFolder()
    pool = folder.path.appending("pool")
    place = folder.path.appending("archive")
    try Files.makeDirectory(pool.appending("testresults/.thumbs"))
    try Files.makeDirectory(pool.appending("ulogs"))
    for name in ["testresults/a-1.png", "testresults/result-a.json", "ulogs/x.txt", "autoinst-log.txt", "raid.img"] {
      try Files.replace(pool.appending(name), with: Array("content of \(name)".utf8))
    }
    try Files.replace(pool.appending("vars.json"), with: Array(#"{"X_PASSWORD":"p","A":"b"}"#.utf8))
  }

  private func archive(limit: Int64 = 1 << 20, days: Int = 1) -> Archive {
    Archive(place, limit: limit, maximumAge: .seconds(days * 86400))
  }

  @Test("keeps what people want to read, without secrets, and leaves the pool as it is")
  func keeping() throws {
    let kept = try #require(try archive().keep(pool, summary))
    let entry = try #require(try archive().entries().first)
    #expect(place.appending(entry.id) == kept && entry.summary == summary)
    #expect(
      entry.files == [
        "autoinst-log.txt", "job.json", "vars.json", "testresults/a-1.png", "testresults/result-a.json", "ulogs/x.txt",
      ])
    let variables = String(decoding: try Files.read(kept.appending("vars.json")) ?? [], as: UTF8.self)
    #expect(variables == #"{"X_PASSWORD":"[redacted]","A":"b"}"#)
    #expect(String(decoding: try Files.read(pool.appending("vars.json")) ?? [], as: UTF8.self).contains(#""p""#))
    #expect(try archive().remove(entry.id))
    #expect(try archive().entries() == [] && !(try archive().remove(entry.id)))
  }

  @Test("the oldest go when there is too much, and whatever is too old")
  func limits() throws {
    let now = time(nil)
    for age in [3, 2, 1] { _ = try archive(limit: 1 << 30).keep(pool, summary, now: now - age) }
    #expect(try archive().entries().count == 3)
    let bytes = try #require(try archive().entries().first).bytes
    try archive(limit: bytes * 2).prune()
    #expect(try archive().entries().count == 2)
    try archive().prune(now: now + 86400 * 2)
    #expect(try archive().entries() == [])
    #expect(try archive(limit: 0).keep(pool, summary) == nil)
  }

  @Test("what is no entry is left alone; names lead nowhere else", arguments: ["..", ".", "../pool", "", ".hidden"])
  func foreign(_ name: String) throws {
    try Files.makeDirectory(place.appending("other"))
    #expect(try archive().entries() == [])
    #expect(try archive().entry(name) == nil && !(try archive().remove(name)))
    try archive(limit: 1).prune()
    #expect(Files.exists(place.appending("other")))
  }

  @Test("a folder that cannot be made is named")
  func unwritable() throws {
    try Files.replace(place, with: [])
    #expect { try archive().keep(pool, summary) } throws: { "\($0)".contains(place.string) }
  }
}
