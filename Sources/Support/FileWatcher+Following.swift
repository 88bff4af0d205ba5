public import SystemPackage

extension FileWatcher {
  /// Follows what happens in a folder that need not be there yet, and may go and come again, until the task is cancelled.
  ///
  /// Where changes cannot be heard of, `body` gets a ``FolderEvent/look`` each period.
  /// - Parameters:
  ///   - kinds: what to tell of.
  ///   - lane: on which the folder is read.
  ///   - body: never gets ``FolderEvent/gone`` or ``FolderEvent/unavailable``.
  public func follow(
    _ folder: FilePath, for kinds: FileChanges, lane: IOLane, period: Duration, clock: any Clock<Duration>,
    _ body: @Sendable (FolderEvent) async -> Void
  ) async {
    while !Task.isCancelled {
      do {
        for await event in try await lane.run({ try self.watch(folder, for: kinds) }) {
          if event == .gone || event == .unavailable { break }
          await body(event)
        }
      } catch let error as FileError where error.errno == .noSuchFileOrDirectory {
        await waitForFolder(folder, lane: lane, period: period, clock: clock)
        continue
      } catch {
        // The period is the way out.
      }
      try? await clock.sleep(for: period)
      if !Task.isCancelled { await body(.look) }
    }
  }

  /// Returns when the folder is there, or after a period if that cannot be heard of.
  private func waitForFolder(
    _ folder: FilePath, lane: IOLane, period: Duration, clock: any Clock<Duration>
  ) async {
    let parent = folder.removingLastComponent()
    do {
      for await event in try await lane.run({ try self.watch(parent, for: [.created, .movedIn]) }) {
        if event == .unavailable || event == .gone { break }
        if try await lane.run({ Files.exists(folder) }) { return }
      }
    } catch let error as FileError where error.errno == .noSuchFileOrDirectory && !parent.isEmpty && parent != "/" {
      return await waitForFolder(parent, lane: lane, period: period, clock: clock)
    } catch {
      // The period is the way out.
    }
    try? await clock.sleep(for: period)
  }
}
