import Configuration
import Engines
import Support
import SystemPackage

/// The throttle of job starts: places that all slots of this host share under a name (protocol §4).
///
/// A place is a file that is locked by the slot that has it. So the kernel gives places back, whatever becomes of who had
/// them, no clock or process id in a file has to be believed, and there is nothing to clean up. When a process hands over
/// or is started again in mid-start, its place is free for that moment: the next one takes a place if it gets one, and
/// goes on without one otherwise, since its job runs already. openQA's own workers count theirs in a database of their
/// job queue; slots of the two kinds do not see each other's.
struct StartLimit: Sendable {
  /// Why a job cannot start.
  enum Refusal: Error, Hashable {
    /// All places under this name are taken.
    case noPlace(String)
    /// The files of this name cannot be used, and why.
    case unusable(String, String)
  }

  /// How long a job can be set up before it does not count any more.
  static let longestSetup = Duration.seconds(3600)

  private let settings: Settings.Lock
  private let lane: IOLane

  /// - Throws: `ServiceThread.CannotStart`.
  init(_ settings: Settings.Lock) throws {
    self.settings = settings
    // A directory that hangs holds up nothing else.
    lane = try IOLane(name: "start limit")
  }

  /// How long a job counts when its backend has started.
  var expiration: Duration { settings.expiration }

  /// Takes a place.
  /// - Throws: ``Refusal``.
  func take() async throws(Refusal) -> StartPlace {
    let lock = try await look { file in
      do { return try FileLock(file) } catch let error as FileError where error.errno == .resourceTemporarilyUnavailable
      { return nil }
    }
    return StartPlace(lock)
  }

  /// Looks whether there is a place, without taking it: nobody who wants to start a job finds it taken by that.
  /// - Throws: ``Refusal``.
  func check() async throws(Refusal) { try await look { file in try FileLock.isHeld(file) ? nil : () } }

  /// What `body` finds at the first place where it is not nil.
  private func look<Found: Sendable>(
    _ body: @escaping @Sendable (FilePath) throws -> Found?
  ) async throws(Refusal) -> Found {
    let settings = settings
    let found: Found?
    do {
      found = try await lane.run(limit: .seconds(10)) {
        let folder = settings.directory.appending(".job-starts")
        try Files.makeDirectory(folder)
        for number in 1...settings.limit {
          if let found = try body(folder.appending("\(settings.fileName).\(number)")) { return found }
        }
        return nil
      }
    } catch let error as FileError {
      throw .unusable(settings.name, "\(PoolFailure(error))")
    } catch {
      throw .unusable(settings.name, "\(error)")
    }
    guard let found else { throw .noPlace(settings.name) }
    return found
  }
}

/// A job's place among those that start, until it is left or nobody has it any more.
final class StartPlace: Sendable {
  private let lock: FileLock

  fileprivate init(_ lock: FileLock) { self.lock = lock }

  // The lane that has opened the file may hold it for a moment longer.
  deinit { leave() }

  /// The job does not count any more.
  func leave() { lock.unlock() }
}

extension Settings.Lock {
  /// The name, without what could lead out of a folder or would be hidden in it.
  fileprivate var fileName: String {
    name.utf8.map { byte in
      let character = Character(Unicode.Scalar(byte))
      let isPlain = character.isASCII && (character.isLetter || character.isNumber || character == "-")
      return isPlain ? String(character) : "%" + String(byte, radix: 16)
    }.joined()
  }
}
