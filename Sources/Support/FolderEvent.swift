import Glibc

/// What a ``FolderWatch`` has to say.
public enum FolderEvent: Sendable, Hashable {
  /// Look for yourself: the watch begins, or so much has happened that the names are lost.
  case look
  /// What has happened to the files of these names since the last event, all together.
  case changed([String: FileChanges])
  /// The folder was removed, renamed or unmounted. The last event.
  case gone
  /// The system watches no more for us: changes have to be looked for from time to time. The last event.
  case unavailable
}

/// What can happen to a file in a folder that is watched.
public struct FileChanges: OptionSet, Sendable, Hashable {
  /// The bits of inotify(7).
  public let rawValue: UInt32

  /// - Parameter rawValue: the bits of inotify(7).
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// A file, folder or link is new under this name; there may be nothing in it yet.
  public static let created = FileChanges(rawValue: UInt32(IN_CREATE))
  /// Something was written to it. Costs an event for each write, as long as anybody watches the folder.
  public static let modified = FileChanges(rawValue: UInt32(IN_MODIFY))
  /// Who had it open for writing has closed it.
  public static let written = FileChanges(rawValue: UInt32(IN_CLOSE_WRITE))
  /// It has got this name, in the place of what had it.
  public static let movedIn = FileChanges(rawValue: UInt32(IN_MOVED_TO))
  /// It has no longer this name.
  public static let movedOut = FileChanges(rawValue: UInt32(IN_MOVED_FROM))
  /// It was removed.
  public static let deleted = FileChanges(rawValue: UInt32(IN_DELETE))
}

/// One event as the kernel has it.
struct InotifyEvent: Sendable, Hashable {
  /// Names the watched folder.
  var watch: Int32
  var mask: UInt32
  /// Empty if it happened to the folder itself.
  var name: String

  /// The kernel has thrown events away.
  var isOverflow: Bool { mask & UInt32(IN_Q_OVERFLOW) != 0 }

  /// There are no more events of this folder, or none under its name.
  var isLast: Bool { mask & UInt32(IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED) != 0 }

  /// Takes apart what was read from inotify: records of a header and a name that zeros pad.
  static func parse(_ bytes: UnsafeRawBufferPointer) -> [InotifyEvent] {
    var events: [InotifyEvent] = []
    var offset = 0
    while offset + MemoryLayout<inotify_event>.size <= bytes.count {
      func field<Value: BitwiseCopyable>(_ key: KeyPath<inotify_event, Value>) -> Value {
        bytes.loadUnaligned(fromByteOffset: offset + (MemoryLayout<inotify_event>.offset(of: key) ?? 0), as: Value.self)
      }
      let start = offset + MemoryLayout<inotify_event>.size
      let end = start + Int(field(\.len))
      guard end <= bytes.count else { break }
      let name = bytes[start..<end].prefix { $0 != 0 }
      events.append(
        InotifyEvent(watch: field(\.wd), mask: field(\.mask), name: String(decoding: name, as: UTF8.self)))
      offset = end
    }
    return events
  }
}
