import CLinux

/// What this process has in memory.
public enum ProcessMemory {
  /// Lets blocks of 512 KiB or more, as images need, be mappings of their own, which go back to the system when they are
  /// freed. Otherwise malloc learns from the first one to keep the room for the next, in each thread. For the start of a
  /// program.
  public static func mapLargeBlocks() { clinux_map_blocks_from(512 << 10) }

  /// Gives back what is free, and pages of the program and its libraries that no other process maps. What is needed again
  /// comes again; what was written stays in memory or goes to swap. Blocks for some milliseconds.
  /// - Parameter thoroughly: not only what comes back without being read again from disk.
  public static func giveBack(thoroughly: Bool) { clinux_give_back_memory(thoroughly) }

  /// The bytes that this process has allocated and not freed. Unlike what it has in memory, this number does not depend on
  /// free blocks between others, so it shows growth of a few kilobytes. 0 under a sanitizer, which has a malloc of its own.
  public static var bytesInUse: Int { clinux_bytes_in_use() }
}
