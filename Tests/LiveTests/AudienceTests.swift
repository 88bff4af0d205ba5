import Live
import OpenQAProtocol
import Testing

@Suite("Audience")
struct AudienceTests {
  @Test("viewers are counted, and never fewer than none; a developer stays")
  func counting() {
    var audience = Audience()
    let steps: [(JobCommand, Int, Bool)] = [
      (.stopLiveLog, 0, false), (.startLiveLog, 1, false), (.startLiveLog, 2, false), (.stopLiveLog, 1, false),
      (.startDeveloperSession, 1, true), (.cancel, 1, true), (.stopLiveLog, 0, true), (.stopLiveLog, 0, true),
      (.startLiveLog, 1, true),
    ]
    for (command, viewers, hasDeveloper) in steps {
      audience.note(command)
      #expect(audience.viewers == viewers && audience.hasDeveloper == hasDeveloper, "after \(command.rawValue)")
    }
  }
}
