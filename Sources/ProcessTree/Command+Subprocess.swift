import Glibc
import Subprocess
import Support
import SystemPackage

extension ProcessExit {
  init(_ status: TerminationStatus) {
    self =
      switch status {
      case .exited(let code): .status(code)
      case .signaled(let number): .signal(number)
      }
  }
}

extension Command {
  /// The program's file, looked up here: the library would start a process for each folder of PATH that lacks it.
  var subprocessExecutable: Executable {
    file.hasPrefix("/") ? .path(FilePath(file)) : .name(file)
  }

  /// An absolute path, or the name if nothing in PATH has it.
  var file: String { executable.hasPrefix("/") ? executable : Command.find(executable, in: environment) ?? executable }

  /// Returns the path of the first executable file of this name in the folders that PATH of an environment names; `nil` if
  /// there is none. Blocks.
  public static func find(_ name: String, in environment: [String: String]) -> String? {
    for folder in (environment["PATH"] ?? "").split(separator: ":") where folder.hasPrefix("/") {
      let path = FilePath(String(folder)).appending(name)
      let isExecutable = path.withPlatformString { access($0, X_OK) } == 0
      if isExecutable, Files.status(of: path)?.kind == .file { return path.string }
    }
    return nil
  }

  var subprocessEnvironment: Environment {
    .custom(
      Dictionary(
        environment.compactMap { name, value in Environment.Key(rawValue: name).map { ($0, value) } },
        uniquingKeysWith: { $1 }))
  }
}
