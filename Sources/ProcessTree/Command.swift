public import SystemPackage

/// A program to start: all of it is the command's own, nothing is inherited but what is named here.
public struct Command: Sendable, Hashable {
  /// An absolute path, or a name to look up in PATH.
  public var executable: String
  /// What follows the program's name.
  public var arguments: [String]
  /// All of it.
  public var environment: [String: String]
  /// Where the program starts.
  public var workingDirectory: FilePath

  /// A program with its arguments and surroundings.
  public init(
    _ executable: String, arguments: [String] = [], environment: [String: String], workingDirectory: FilePath
  ) {
    self.executable = executable
    self.arguments = arguments
    self.environment = environment
    self.workingDirectory = workingDirectory
  }
}

/// How a process ended.
public enum ProcessExit: Sendable, Hashable, CustomStringConvertible {
  case status(Int32)
  case signal(Int32)

  /// Exit status 0: a signal is no success.
  public var isSuccess: Bool { self == .status(0) }

  /// `0`, or `9 (killed by signal)`.
  public var description: String {
    switch self {
    case .status(let code): "\(code)"
    case .signal(let number): "\(number) (killed by signal)"
    }
  }
}

/// A program could not be started or did not do what it was started for.
public struct ProcessError: Error, CustomStringConvertible {
  /// Names the program and the problem.
  public var description: String

  /// An error in words.
  public init(_ description: String) { self.description = description }
}
