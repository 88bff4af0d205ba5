import Configuration
import OpenQAProtocol
import SystemPackage
import Testing

@testable import Agent

@Suite("What a host registers as")
struct HostFactsTests {
  private static let facts = HostFacts(
    system: ["Linux", "node", "6", "#1", "x86_64"], architecture: "x86_64", processor: ["cpu_flags": "a"], memory: 7)

  private static func settings(_ workers: String) throws -> Settings {
    try Settings(
      options: CommandLineOptions(), environment: [:],
      read: { $0.lastComponent == "workers.ini" ? "[global]\n\(workers)\n" : nil })
  }

  @Test("whether parallel jobs are to stay together is passed on as it is written", arguments: [nil, "1", "0", "yes"])
  func parallel(value: String?) throws {
    let settings = try Self.settings(value.map { "PARALLEL_ONE_HOST_ONLY = \($0)" } ?? "")
    let registration = Self.facts.registration(settings, interfaceVersion: 3)
    #expect(registration.parallelOneHostOnly == value)
    #expect(registration.parameters(jobs: []).first { $0.name == "parallel_one_host_only" }?.value == value)
  }

  @Test("ARCH takes the place of all that is known of the processor")
  func architecture() throws {
    let found = Self.facts.registration(try Self.settings(""), interfaceVersion: 3)
    #expect(found.architecture == "x86_64" && found.processor == ["cpu_flags": "a"])
    let configured = Self.facts.registration(try Self.settings("ARCH = riscv64"), interfaceVersion: 3)
    #expect(configured.architecture == "riscv64" && configured.processor.isEmpty)
    #expect(configured.workerClass == "qemu_riscv64")
  }
}
