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
  var file: String {
    if executable.hasPrefix("/") { return executable }
    for folder in (environment["PATH"] ?? "").split(separator: ":") where folder.hasPrefix("/") {
      let path = FilePath(String(folder)).appending(executable)
      let isExecutable = path.withPlatformString { access($0, X_OK) } == 0
      if isExecutable, Files.status(of: path)?.kind == .file { return path.string }
    }
    return executable
  }

  var subprocessEnvironment: Environment {
    .custom(
      Dictionary(
        environment.compactMap { name, value in Environment.Key(rawValue: name).map { ($0, value) } },
        uniquingKeysWith: { $1 }))
  }
}
