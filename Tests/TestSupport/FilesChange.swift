import Support
package import SystemPackage

/// Returns when the files in a folder, which has to be there, are such that `holds` holds.
/// - Throws: `FileError`, what `holds` throws, `CancellationError`.
package func waitForFiles(
  in folder: FilePath, _ file: String = #fileID, line: Int = #line, isolation: isolated (any Actor)? = #isolation,
  until holds: () throws -> Bool
) async throws {
  try await waiting(for: "files in \(folder) to change", in: file, line: line) {
    let watcher = FileWatcher { note($0) }
    defer { withExtendedLifetime(watcher) {} }
    let watch = try watcher.watch(folder, for: [.created, .modified, .movedIn, .deleted])
    // The first event is there at once.
    for await _ in watch where try holds() { return }
    throw CancellationError()
  }
}
