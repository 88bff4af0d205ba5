import Support
import SystemPackage

/// When files have to be looked at, as one task says and another minds.
struct Looks: Sendable {
  /// Changes with each reason to look.
  var due = 1
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
    while !Task.isCancelled {
      do {
        let (folder, kinds, watcher) = (folder, kinds, watcher)
        for await event in try await lane.run({ try watcher.watch(folder, for: kinds) }) {
          switch event {
          case .look: looks.change { $0.due += 1 }
          case .changed(let files): if !names.isDisjoint(with: files.keys) { looks.change { $0.due += 1 } }
          case .gone, .unavailable: break
          }
        }
      } catch let error as FileError where error.errno == .noSuchFileOrDirectory {
        await waitForFolder()
        continue
      } catch {
        // The period is the way out.
      }
      try? await clock.sleep(for: period)
      looks.change { $0.due += 1 }
    }
  }

  /// Waits until the folder is there, or a period if that cannot be heard of.
  private func waitForFolder() async {
    let (folder, watcher, lane) = (folder, watcher, lane)
    let parent = folder.removingLastComponent()
    do {
      for await event in try await lane.run({ try watcher.watch(parent, for: [.created, .movedIn]) }) {
        if event == .unavailable || event == .gone { break }
        if try await lane.run({ Files.exists(folder) }) { return }
      }
    } catch {
      // So is the parent folder's absence.
    }
    try? await clock.sleep(for: period)
  }
}
