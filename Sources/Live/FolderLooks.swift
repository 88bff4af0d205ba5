import Support
import SystemPackage

/// When files have to be looked at, as one task says and another minds.
struct Looks: Sendable {
  /// Changes with each reason to look.
  var due = 1
  /// Nothing comes after what is there now, which is to be seen yet.
  var isLast = false
  /// Nobody wants to see them any more.
  var isOver = false
}

/// Says when to look at files: when something has happened to them, or, where that cannot be heard of, each period.
struct FolderLooks: Sendable {
  let watcher: FileWatcher
  /// Where the files are; need not be there yet.
  let folder: FilePath
  let kinds: FileChanges
  /// On which the folder is read.
  let lane: IOLane
  /// From one look to the next where nothing tells of changes.
  let period: Duration
  let clock: any Clock<Duration> & Sendable

  /// Notes in `looks` whenever something has happened to one of `names`, until the task is cancelled.
  func note(_ names: Set<String>, in looks: Observed<Looks>) async {
    await watcher.follow(folder, for: kinds, lane: lane, period: period, clock: clock) { event in
      if case .changed(let files) = event, names.isDisjoint(with: files.keys) { return }
      looks.change { $0.due += 1 }
    }
  }
}
