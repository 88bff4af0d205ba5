import Logging
import Support

/// Tells the service manager what becomes of the host: that it is ready, what its slots are at, that it lives.
struct ServiceReport: Sendable {
  private let notifier: ServiceNotifier
  private let slots: [Int]
  private let logger: Logger
  private let inbox: AsyncStream<(slot: Int, condition: SlotCondition)>
  private let outbox: AsyncStream<(slot: Int, condition: SlotCondition)>.Continuation

  /// - Parameter slots: their numbers.
  init(_ notifier: ServiceNotifier, slots: [Int], logger: Logger) {
    self.notifier = notifier
    self.slots = slots
    self.logger = logger
    (inbox, outbox) = AsyncStream.makeStream()
  }

  /// Takes note of what a slot is at.
  func note(_ condition: SlotCondition, slot: Int) { outbox.yield((slot, condition)) }

  /// The host has begun to end.
  func stopping() async { await notifier.send(.stopping) }

  /// Lives until its task is cancelled. The host is ready when every slot has asked all its web UIs to take it, or waits
  /// for its pool.
  /// - Parameter heartbeat: what the watchdog is fed with.
  func run(_ heartbeat: Heartbeat) async {
    await withTaskGroup(of: Void.self) { group in
      if let interval = notifier.watchdogInterval { group.addTask { await beat(heartbeat, interval) } }
      var conditions: [Int: SlotCondition] = [:]
      var isReady = false
      var told = ""
      for await (slot, condition) in inbox {
        conditions[slot] = condition
        let status = status(conditions)
        if !isReady, conditions.values.count(where: \.isSettled) == slots.count {
          isReady = await notifier.send(.ready, .status(status))
        } else if status != told {
          await notifier.send(.status(status))
        }
        told = status
      }
      group.cancelAll()
    }
  }

  private func status(_ conditions: [Int: SlotCondition]) -> String {
    let texts = slots.map { (slot: $0, text: conditions[$0]?.description ?? "starts") }
    if texts.count == 1 { return texts[0].text }
    return texts.map { "slot \($0.slot): \($0.text)" }.joined(separator: ", ")
  }

  /// Each beat has a quarter of the interval to go through all parts, and the next begins a quarter later.
  private func beat(_ heartbeat: Heartbeat, _ interval: Duration) async {
    var known = Heartbeat.Silence()
    while !Task.isCancelled {
      let silence = await heartbeat.silence(within: interval / 4)
      if silence.vital.isEmpty { await notifier.send(.watchdog) }
      if silence != known, !Task.isCancelled { log(silence, interval) }
      known = silence
      try? await Task.sleep(for: interval / 4)
    }
  }

  private func log(_ silence: Heartbeat.Silence, _ interval: Duration) {
    for name in silence.other.sorted() {
      logger.warning("\(name) does not answer: its file system may hang. Waiting for it")
    }
    for name in silence.vital.sorted() {
      logger.critical(
        "\(name) does not answer: the service manager restarts this worker if it stays so for \(interval)")
    }
    if silence == Heartbeat.Silence() { logger.notice("All answers again") }
  }
}
