import Support

/// Whether all that has to go on in this process does: the threads of its connections, the mailboxes of its slots and,
/// since it is Swift's thread pool that asks them, that too.
struct Heartbeat: Sendable {
  /// What can be asked for a sign of life.
  struct Part: Sendable {
    var name: String
    /// Whether the process is of no use without it.
    var isVital = true
    /// Lets the part run a closure when it comes to it, and returns at once.
    var submit: @Sendable (@escaping @Sendable () -> Void) -> Void
  }

  /// Which parts gave no sign.
  struct Silence: Sendable, Hashable {
    /// Those without which the process is of no use.
    var vital: Set<String> = []
    /// Those that can be waited for, such as a pool on a file system that hangs.
    var other: Set<String> = []
  }

  var parts: [Part]

  /// Asks every part, and returns when all have answered, or the limit has passed.
  func silence(within limit: Duration) async -> Silence {
    let silent = await withTaskGroup(of: String?.self) { group in
      for part in parts {
        let answer = Latch<Void>()
        part.submit { answer.open(with: ()) }
        group.addTask { await answers(answer, within: limit) ? nil : part.name }
      }
      return await group.reduce(into: Set<String>()) { if let name = $1 { $0.insert(name) } }
    }
    var silence = Silence()
    for part in parts where silent.contains(part.name) {
      if part.isVital { silence.vital.insert(part.name) } else { silence.other.insert(part.name) }
    }
    return silence
  }

  private func answers(_ answer: Latch<Void>, within limit: Duration) async -> Bool {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await answer.wait() }
      group.addTask { try? await DeadlineClock().sleep(for: limit) }
      await group.next()
      group.cancelAll()
    }
    return answer.value != nil
  }
}
