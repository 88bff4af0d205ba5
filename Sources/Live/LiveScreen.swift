import OpenQAProtocol
import Support
import SystemPackage

/// Brings each new picture of the guest's screen to the web UI as it is: one at a time, the newest first of all, so that a
/// web UI that is slow sees fewer, but never older ones.
struct LiveScreen: Sendable {
  /// The largest picture that is sent.
  private static let limit = 16 << 20

  private let channel: LiveChannel
  /// The name of the picture that the web UI has.
  private let shown = Guarded<String?>(nil)

  init(_ channel: LiveChannel) { self.channel = channel }

  /// Lives until nobody wants it any more, or the task is cancelled.
  func follow(_ looks: Observed<Looks>) async {
    let folder = channel.pool.appending("qemuscreenshot")
    let (shown, pause) = (shown, Duration(boundedSeconds: 1 / channel.frameRate))
    // The backend makes a new link when the picture that it points to is complete.
    await channel.follow(["last.png"], in: folder, for: [.created, .movedIn], looks) {
      await channel.post(looks) { status in
        status.screen = try LiveScreen.newest(in: folder, after: shown.withLock { $0 })
        return status.screen != nil
      } taken: { status in
        shown.withLock { $0 = status.screen?.name }
        return pause
      }
    }
  }

  /// Blocks.
  private static func newest(in folder: FilePath, after shown: String?) throws -> LiveStatus.Screen? {
    guard let target = Files.linkTarget(folder.appending("last.png")), target.components.count == 1,
      !target.isAbsolute, target.string != shown,
      let png = try Files.read(folder.appending(target.string), limit: limit)
    else { return nil }
    return LiveStatus.Screen(name: target.string, png: png)
  }
}
