import Engines
import Support
import Transport

extension Heartbeat {
  /// What a host consists of.
  init(slots: [(number: Int, slot: Slot, pool: Pool)], http: HTTPClient, webSockets: WebSocketClient) {
    parts = HTTPClient.Lane.allCases.map { lane in
      Part(name: "http-\(lane)") { http.submit(to: lane, $0) }
    }
    parts.append(Part(name: "websocket") { webSockets.submit($0) })
    for (number, slot, pool) in slots {
      parts.append(Part(name: "slot \(number)") { slot.submit($0) })
      parts.append(Part(name: "pool \(number)", isVital: false) { pool.lane.submit($0) })
    }
  }
}
