import Glibc
import Support
import SystemPackage

/// One run of a scenario in the pool, from the first file to the exit code.
struct Play: Sendable {
  /// The script's end before its end.
  private struct Ending: Error {
    let code: Int32
  }

  private let scenario: Scenario
  private let variables: Variables
  private let pool: Pool
  private let status = RunStatus()

  init(scenario: Scenario, variables: Variables) {
    self.scenario = scenario
    self.variables = variables
    pool = Pool(seed: scenario.seed.isEmpty ? variables["NAME"]?.scalar ?? "" : scenario.seed)
  }

  /// Plays the scenario until its end, or until SIGTERM if the scenario minds it.
  /// - Returns: the exit code.
  func perform() async throws -> Int32 {
    alarm(UInt32(max(1, scenario.lifetime.components.seconds)))
    let terminations = try Terminations.start(isIgnored: scenario.termination == .ignore)
    return try await withThrowingTaskGroup(of: Int32?.self) { group in
      group.addTask {
        do {
          return try await play()
        } catch let ending as Ending {
          return ending.code
        }
      }
      group.addTask {
        for await signal in terminations {
          if scenario.termination == .hang { return nil }
          try await Task.sleep(for: scenario.terminationDelay)
          Output.log("isotovideo received signal \(signal)")
          try pool.writeState(component: "isotovideo", message: "isotovideo received signal \(signal)", result: nil)
          return 1
        }
        return nil
      }
      defer { group.cancelAll() }
      // Without a code, SIGTERM came and everything stops but the program.
      if let code = try await group.next() ?? nil { return code }
      group.cancelAll()
      while true { try? await Self.forever() }
    }
  }

  private func play() async throws -> Int32 {
    Output.log("Current version is unknown [interface v\(scenario.commandServer.interface)]")
    for module in scenario.modules { Output.log("scheduling \(module.name) \(module.script)") }
    if scenario.hasBaseFiles { try pool.begin() }
    var variables = variables
    for (name, value) in scenario.settings { variables[name] = value }
    try variables.save()
    let server = try await startCommandServer()
    if scenario.hasBaseFiles { try pool.startMachine() }
    var none = ModuleRun(module: nil)
    try await perform(scenario.setup, &none)
    if scenario.hasTestOrder {
      try pool.write("testresults/test_order.json", JSON.array(scenario.modules.map(\.json)))
    }
    for module in scenario.modules { try await play(module) }
    try await perform(scenario.teardown, &none)
    _ = await status.enter(nil)
    try variables.save()
    try await pool.write("autoinst-status.json", status.file("finished"))
    if scenario.hasBaseFiles { try pool.stopMachine() }
    await status.broadcast(["stopping_test_execution": "test execution ended"])
    await server?.stop()
    Output.log("isotovideo done")
    return scenario.exitCode
  }

  private func startCommandServer() async throws -> CommandServer? {
    guard scenario.commandServer.isOn, let port = variables["QEMUPORT"]?.scalar.flatMap(Int.init),
      let token = variables["JOBTOKEN"]?.scalar
    else { return nil }
    if scenario.commandServer.delay > .zero { try await Task.sleep(for: scenario.commandServer.delay) }
    let server = try await CommandServer.start(scenario.commandServer, port: port + 1, token: token, status: status)
    Output.log("cmdsrv: daemon reachable under http://*:\(port + 1)/\(token)/")
    return server
  }

  private func play(_ module: Module) async throws {
    let reason = await status.enter(module)
    try await pool.write("autoinst-status.json", status.file("running"))
    Output.log("||| starting \(module.name) \(module.script)")
    if let reason { try await pause(reason) }
    var run = ModuleRun(module: module)
    try await perform(module.steps, &run)
    try save(run)
    Output.log("||| finished \(module.name) \(module.category) (runtime: \(module.executionTime) s)")
  }

  private func save(_ run: ModuleRun) throws {
    guard let module = run.module else { return }
    try pool.write(
      "testresults/result-\(module.name).json",
      [
        "details": .array(run.details), "dents": .integer(module.dents), "result": .string(module.result),
        "execution_time": .integer(module.executionTime),
      ])
  }

  private func perform(_ steps: [Step], _ run: inout ModuleRun) async throws {
    for step in steps {
      try Task.checkCancellation()
      try await perform(step, &run)
    }
  }

  private func perform(_ step: Step, _ run: inout ModuleRun) async throws {
    switch step {
    case .screenshot(let shot): try pool.take(shot, &run)
    case .text(let text, let title, let result, let extra): try pool.take(text, title, result, extra, &run)
    case .number(let number): run.number = number - 1
    case .save: try save(run)
    case .wait(let time): try await Task.sleep(for: time)
    case .until(let path): while !Files.exists(FilePath(path)) { try await Task.sleep(for: .milliseconds(10)) }
    case .write(let path, let content, let appends, let isAtomic):
      try pool.write(path, pool.bytes(content), appends: appends, isAtomic: isAtomic)
    case .remove(let path): try Files.remove(FilePath(path))
    case .link(let path, let target): try Files.symbolicLink(FilePath(path), to: FilePath(target))
    case .log(let text): Output.line(text)
    case .broadcast(let message): await status.broadcast(message)
    case .pause(let reason): try await pause(reason)
    case .spawn(let child): try child.spawn()
    case .repeated(let count, let steps): for _ in 0..<count { try await perform(steps, &run) }
    case .die(let component, let message, let result, let code):
      try pool.writeState(component: component, message: message, result: result)
      Output.line(message)
      throw Ending(code: code)
    case .exit(let code): throw Ending(code: code)
    case .signal(let number):
      signal(number, SIG_DFL)
      kill(getpid(), number)
      try await Self.forever()
    case .hang: try await Self.forever()
    }
  }

  private func pause(_ reason: String) async throws {
    let resumed = await status.pause(reason)
    try await pool.write("autoinst-status.json", status.file("running"))
    for await _ in resumed {}
    try Task.checkCancellation()
    try await pool.write("autoinst-status.json", status.file("running"))
  }

  private static func forever() async throws { try await Task.sleep(for: .seconds(86400)) }
}
