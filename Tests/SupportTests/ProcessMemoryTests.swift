import Glibc
import Support
import TestSupport
import Testing

@Suite("The process's memory")
struct ProcessMemoryTests {
  /// Whether the page of an address is in memory and mapped.
  private func isPresent(_ address: UnsafeRawPointer) throws -> Bool {
    let pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    try #require(pages >= 0)
    defer { close(pages) }
    var entry: UInt64 = 0
    try #require(pread(pages, &entry, 8, off_t(UInt(bitPattern: address) / UInt(getpagesize()) * 8)) == 8)
    return entry >> 63 == 1
  }

  @Test("code that nobody uses is given back, and there when it is used again", arguments: [false, true])
  func code(thoroughly: Bool) throws {
    // A library that nothing else here uses.
    let library = try #require(dlopen("libthread_db.so.1", RTLD_LAZY))
    defer { dlclose(library) }
    let symbolList = try #require(dlsym(library, "td_symbol_list"))
    let address = UnsafeRawPointer(symbolList)
    let before = address.load(as: UInt8.self)
    #expect(try isPresent(address))
    ProcessMemory.giveBack(thoroughly: thoroughly)
    #expect(try !isPresent(address))
    #expect(address.load(as: UInt8.self) == before)
  }

  @Test("what is free is given back", .disabled(if: isSanitized, "it has a malloc of its own"))
  func free() throws {
    // Too small for mappings of their own. Between them is something that stays.
    let size = 60_000
    var blocks: [(free: UnsafeMutableRawPointer, kept: UnsafeMutableRawPointer)] = []
    for _ in 0..<100 {
      blocks.append((try #require(malloc(size)), try #require(malloc(16))))
      memset(blocks[blocks.count - 1].free, 1, size)
    }
    for block in blocks { Glibc.free(block.free) }
    ProcessMemory.giveBack(thoroughly: false)
    let present = try blocks.count { try isPresent($0.free + size / 2) }
    for block in blocks { Glibc.free(block.kept) }
    #expect(present < 50, "others may use some of it again")
  }

  @Test(
    "large blocks go when they are freed, whatever malloc has learned before",
    .disabled(if: isSanitized, "it has a malloc of its own"))
  func largeBlocks() throws {
    ProcessMemory.mapLargeBlocks()
    for size in [4 << 20, 1 << 20] {
      let blocks = try (0..<20).map { _ in try #require(malloc(size)) }
      for block in blocks {
        memset(block, 1, size)
        Glibc.free(block)
      }
      let present = try blocks.count { try isPresent($0 + size / 2) }
      #expect(present < 10, "others may use some of it again")
    }
  }
}
