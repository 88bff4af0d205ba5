package import Support

/// Runs `body`, which waits for something. A test that comes to its time limit meanwhile says what that was.
/// - Throws: what `body` throws.
package func waiting<Value>(
  for what: @autoclosure () -> String, in file: String = #fileID, line: Int = #line,
  isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Value
) async throws -> Value {
  let start = ContinuousClock.now
  do { return try await body() } catch {
    // Whoever loses a race gives up sooner.
    let time = start.duration(to: .now)
    if Task.isCancelled, time > .seconds(20) {
      note("\(file):\(line) has waited for \(time.components.seconds) s for \(what())")
    }
    throw error
  }
}

extension Latch {
  /// Waits for the value as ``wait()`` does, and says so if the test comes to its time limit first.
  /// - Throws: `CancellationError`.
  package func reached(in file: String = #fileID, line: Int = #line) async throws -> Value {
    try await waiting(for: "something to come", in: file, line: line) { try await wait() }
  }
}
