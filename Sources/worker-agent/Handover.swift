import Agent
import Configuration
import Support
import SystemPackage

/// Puts the program as it is installed now in this process's place, with the same arguments.
///
/// Nothing has to be said to anybody but the service manager: jobs are on record at each of their steps.
struct Handover {
  let notifier: ServiceNotifier?
  /// The program's file, asked for while it surely has its name.
  private let program = CurrentProcess.program

  /// Returns only if that cannot be done; then this process goes on.
  func execute(_ host: Host, _ output: LogOutput) async {
    guard let program else { return }
    output.write(LogRecord(.info, "Handing over to \(program)"))
    await notifier?.send(.reloading)
    await host.noteHandover()
    await host.flush()
    let error = CurrentProcess.replace(with: program, arguments: CommandLine.arguments)
    output.write(LogRecord(.error, "Cannot hand over to \(program): \(error); going on without"))
    await notifier?.send(.ready)
  }
}
