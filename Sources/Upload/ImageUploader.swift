import Logging
import OpenQAProtocol
import Support
import SystemPackage
import Transport
import WebUIClient

/// Brings a job's screenshots to the web UI, each once: when isotovideo has written it, or, in a pass, when a result names
/// one that has not been brought. The web UI takes images before any result names them (protocol §6).
actor ImageUploader {
  /// What is known of an image, by its MD5 sum.
  private enum Standing {
    /// Opened when that is over, with whether it has arrived.
    case underway(Latch<Bool>)
    case arrived
  }

  /// A screenshot with its thumbnail.
  struct Screenshot: Sendable, Hashable {
    var name: String
    /// The sum that names it at the web UI.
    var md5: String
  }

  /// Screenshots that are brought at a time: so many are in memory.
  private static let width = 4
  /// Larger files are sent as they are, from the disk.
  private static let maximumSize = 32 << 20
  /// From one look at the folder to the next, where its changes cannot be heard of.
  private static let period = Duration.seconds(10)

  private let job: Int64
  private let client: WebUIClient
  private let folder: FilePath
  private let lane: IOLane
  private let names: ScreenshotNames
  private let compression: ImageCompression
  private let logger: Logger
  private let tally: Observed<UploadTally>
  private let known: KnownImages
  private var standings: [String: Standing] = [:]
  /// Files that have been noticed.
  private var noticed: Set<String> = []
  private var isUrgent = false

  /// - Parameters:
  ///   - folder: the pool's folder of results.
  ///   - lane: the pool's.
  init(
    job: Int64, client: WebUIClient, folder: FilePath, lane: IOLane, names: ScreenshotNames,
    compression: ImageCompression, known: KnownImages, logger: Logger, tally: Observed<UploadTally>
  ) {
    self.job = job
    self.client = client
    self.folder = folder
    self.lane = lane
    self.names = names
    self.compression = compression
    self.logger = logger
    self.tally = tally
    self.known = known
  }

  /// From now on somebody waits for the images.
  func hurry() { isUrgent = true }

  /// MD5 sums of the images that have arrived.
  var arrived: Set<String> { Set(standings.filter { if case .arrived = $0.value { true } else { false } }.keys) }

  /// Brings screenshots as they appear, until the task is cancelled.
  /// - Parameter skipsOld: those that are there already are left to the passes, which know which of them have arrived.
  func follow(_ watcher: FileWatcher, skipsOld: Bool, clock: any Clock<Duration>) async {
    let (fresh, feed) = AsyncStream<[String]>.makeStream()
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [folder, lane] in
        // isotovideo writes the thumbnail when the image is there.
        let thumbnails = folder.appending(".thumbs")
        let isFirst = Guarded(skipsOld)
        await watcher.follow(
          thumbnails, for: [.written, .movedIn], lane: lane, period: ImageUploader.period, clock: clock
        ) { event in
          guard case .changed(let files) = event else {
            let old = (try? await lane.run { try Files.names(in: thumbnails) }) ?? []
            let isOld = isFirst.withLock { isFirst in
              defer { isFirst = false }
              return isFirst
            }
            if isOld { await self.notice(old) } else { feed.yield(await self.notice(old)) }
            return
          }
          feed.yield(await self.notice(Array(files.keys)))
        }
        feed.finish()
      }
      group.addTask { await self.bring(fresh) }
    }
  }

  /// The screenshots among files that have not been noticed before.
  @discardableResult
  private func notice(_ files: [String]) -> [String] {
    files.sorted().filter { $0.hasSuffix(".png") && !$0.hasPrefix(".") && noticed.insert($0).inserted }
  }

  private func bring(_ fresh: AsyncStream<[String]>) async {
    await withTaskGroup(of: Void.self) { group in
      var running = 0
      for await names in fresh {
        for name in names {
          if running == ImageUploader.width {
            await group.next()
            running -= 1
          }
          group.addTask { await self.bringEagerly(name) }
          running += 1
        }
      }
      group.cancelAll()
    }
  }

  /// What goes wrong is left to a pass.
  private func bringEagerly(_ name: String) async {
    do {
      let (path, names) = (folder.appending(name), names)
      let sum = try await lane.run { () throws(FileError) in
        Files.exists(path) ? try names.sum(of: name) : nil
      }
      // What it does not have after all is brought by a pass.
      if let sum, !known.contains(sum) { try await bring(Screenshot(name: name, md5: sum)) }
    } catch {
      logger.debug("\(name) is not uploaded yet: \(error)")
    }
  }

  /// Brings a screenshot, unless it has arrived; one that is on its way is waited for.
  /// - Parameter again: the web UI has not got it, whatever was sent.
  /// - Throws: `WebUIError`; `IOLane.TimedOut` for a pool that cannot be read; `CancellationError`.
  func bring(_ screenshot: Screenshot, again: Bool = false) async throws {
    var again = again
    while let standing = standings[screenshot.md5] {
      switch standing {
      case .underway(let end):
        _ = try await end.wait()
        again = false
      case .arrived:
        if !again { return }
        standings[screenshot.md5] = nil
      }
    }
    let end = Latch<Bool>()
    standings[screenshot.md5] = .underway(end)
    do {
      try await send(screenshot)
      standings[screenshot.md5] = .arrived
      known.insert([screenshot.md5])
      end.open(with: true)
    } catch {
      standings[screenshot.md5] = nil
      end.open(with: false)
      throw error
    }
  }

  private func send(_ screenshot: Screenshot) async throws {
    let path = folder.appending(screenshot.name)
    var image = Artefact(.image(md5: screenshot.md5), name: screenshot.name, path: path)
    image.content = try await content(of: path)
    try await client.send(image.call(job: job))
    tally.note(bytes: Int64(image.content?.count ?? 0))
    let small = folder.appending(".thumbs").appending(screenshot.name)
    guard try await lane.run({ Files.status(of: small)?.kind == .file }) else { return }
    var thumbnail = Artefact(.thumbnail(md5: screenshot.md5), name: screenshot.name, path: small)
    thumbnail.content = try await content(of: small)
    try await client.send(thumbnail.call(job: job))
    tally.note(bytes: Int64(thumbnail.content?.count ?? 0))
  }

  /// What to send for an image; nil for the file as it is.
  private func content(of path: FilePath) async throws -> [UInt8]? {
    let content: [UInt8]?
    do {
      content = try await lane.run { try Files.read(path, limit: ImageUploader.maximumSize) }
    } catch is FileError {
      return nil
    }
    guard let content else { return nil }
    return try await compression.compress(content, of: path, isUrgent: isUrgent)
  }
}
