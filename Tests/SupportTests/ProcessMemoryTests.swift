import Glibc
import Support
import TestSupport
import Testing

@Suite("The process's memory")
struct ProcessMemoryTests {
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

  // What malloc does depends on what it has done before: these have a process of their own.

  @Test("what is free is given back", .disabled(if: isSanitized, "it has a malloc of its own"))
  func free() async {
    await #expect(processExitsWith: .success) {
      // Too small for mappings of their own; every other one stays.
      let blocks = try (0..<200).map { _ in try Block(size: 60_000) }
      for index in stride(from: 0, to: 200, by: 2) { blocks[index].free() }
      ProcessMemory.giveBack(thoroughly: false)
      for (index, block) in blocks.enumerated() { #expect(try isPresent(block.middle) == (index % 2 == 1)) }
    }
  }

  @Test(
    "large blocks go when they are freed, whatever malloc has learned before",
    .disabled(if: isSanitized, "it has a malloc of its own"))
  func largeBlocks() async {
    await #expect(processExitsWith: .success) {
      ProcessMemory.mapLargeBlocks()
      for size in [4 << 20, 1 << 20] {
        // Few enough for malloc to keep the room of all.
        let blocks = try (0..<5).map { _ in try Block(size: size) }
        for block in blocks { block.free() }
        for block in blocks { #expect(try !isPresent(block.middle)) }
      }
    }
  }
}

/// A block of malloc's that was written.
private struct Block {
  let start: UnsafeMutableRawPointer
  let size: Int

  init(size: Int) throws {
    self.size = size
    start = try #require(malloc(size))
    memset(start, 1, size)
  }

  var middle: UnsafeRawPointer { UnsafeRawPointer(start + size / 2) }

  func free() { Glibc.free(start) }
}

/// Whether the page of an address is in memory and mapped.
private func isPresent(_ address: UnsafeRawPointer) throws -> Bool {
  let pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
  try #require(pages >= 0)
  defer { close(pages) }
  var entry: UInt64 = 0
  try #require(pread(pages, &entry, 8, off_t(UInt(bitPattern: address) / UInt(getpagesize()) * 8)) == 8)
  return entry >> 63 == 1
}
