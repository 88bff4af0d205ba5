// swift-tools-version: 6.2
import PackageDescription

// One list for every Swift target of the package.
let swiftSettings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

// C that handles what comes from outside checks its buffers: the stack always, calls of libc where it is optimised.
let cSettings: [CSetting] = [
  .unsafeFlags(["-fstack-protector-strong"]),
  .unsafeFlags(["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"], .when(configuration: .release)),
]

// Programs are position-independent by default; all that the dynamic linker fills in is read-only after the start.
let hardened: [LinkerSetting] = [
  .unsafeFlags(["-Xlinker", "-z", "-Xlinker", "relro", "-Xlinker", "-z", "-Xlinker", "now"])
]

// A program in C without Swift's start-up code and shared libraries.
let cProgram: [LinkerSetting] = hardened + [.unsafeFlags(["-nostartfiles", "-static-stdlib"])]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioWebSocket = Target.Dependency.product(name: "NIOWebSocket", package: "swift-nio")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
  .testTarget(
    name: "\(name)Tests",
    dependencies: [.byName(name: name), "TestSupport"] + dependencies,
    resources: resources,
    swiftSettings: swiftSettings
  )
}

let package = Package(
  name: "worker-agent",
  products: [
    .executable(name: "worker-agent", targets: ["worker-agent"]),
    .executable(name: "job-supervisor", targets: ["job-supervisor"]),
  ],
  dependencies: [
    // This is a program, so its direct dependencies are pinned here: two builds of one commit are alike. Package.resolved
    // would pin the transitive ones, too, but by commit ids, which local copies of the packages do not share, so it is not
    // committed and the transitive ones float within what the direct ones allow.
    //
    // Flags: completions and help for free.
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    // The embedded web UI and the servers that tests talk to.
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    // Signals as a sequence.
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    .package(url: "https://github.com/apple/swift-system", exact: "1.8.1"),
    // Helper programs.
    .package(url: "https://github.com/swiftlang/swift-subprocess", exact: "1.0.2", traits: []),
  ],
  // The floors of ARCHITECTURE.md, lowest first: a target depends on lower floors only. `scripts/check-imports` holds
  // the sources to the same table.
  targets: [
    // Floor 0: system libraries, and the C that Swift cannot say.
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CWebSockets", pkgConfig: "libwebsockets", providers: [.apt(["libwebsockets-dev"])]),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    // Compresses better than zlib in less time; libpng can do with zlib only.
    .systemLibrary(name: "CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
    .target(
      name: "CPNGOptimizer", dependencies: ["CDeflate", "CPNG"], cSettings: cSettings,
      linkerSettings: [.linkedLibrary("png"), .linkedLibrary("deflate"), .linkedLibrary("m")]),
    .target(name: "CLinux", cSettings: cSettings),
    // The parent of a job's processes: a program of its own, so that it outlives the agent.
    .executableTarget(name: "job-supervisor", cSettings: cSettings, linkerSettings: cProgram),

    // Floor 1: generic. Support is its ground; the others know only Support.
    library("Support", ["CCrypto", "CLinux", systemPackage]),
    library("HTTPServer", ["Support", nioCore, nioHTTP1, nioPosix, nioWebSocket]),
    library("PNGOptimizer", ["CPNGOptimizer", "Support"]),
    library("ProcessTree", ["Support", "CLinux", subprocess, systemPackage]),
    library("Transport", ["Support", "CCurl", "CWebSockets", systemPackage]),

    // Floor 2: the wire as values, and the configuration.
    library("OpenQAProtocol", ["Support"]),
    library("Configuration", ["Support", systemPackage]),

    // Floor 3: signed REST calls.
    library("WebUIClient", ["Configuration", "OpenQAProtocol", "Support", "Transport", logging, systemPackage]),

    // Floor 4: siblings that only Agent wires together.
    library("AssetCache", ["Configuration", "OpenQAProtocol", "Support", "Transport", logging, systemPackage]),
    library("CommandServerClient", ["OpenQAProtocol", "Support", "Transport", logging]),
    library("Engines", ["Configuration", "OpenQAProtocol", "ProcessTree", "Support", logging, systemPackage]),
    library("Live", ["OpenQAProtocol", "Support", "Transport", "WebUIClient", logging, systemPackage]),
    library(
      "Upload",
      [
        "OpenQAProtocol", "PNGOptimizer", "ProcessTree", "Support", "Transport", "WebUIClient", logging, systemPackage,
      ]
    ),
    library("WebUISession", ["Configuration", "OpenQAProtocol", "Support", "Transport", "WebUIClient", logging]),

    // Floor 5: jobs, slots, the host.
    library(
      "Agent",
      [
        "AssetCache", "CommandServerClient", "Configuration", "Engines", "Live", "OpenQAProtocol", "PNGOptimizer",
        "ProcessTree", "Support", "Transport", "Upload", "WebUIClient", "WebUISession", logging, systemPackage,
      ]
    ),

    .target(
      name: "LocalWebUI", dependencies: ["HTTPServer", "OpenQAProtocol", "Support", systemPackage],
      // The page that browsers get.
      resources: [.embedInCode("Page")],
      swiftSettings: swiftSettings
    ),

    // Floor 6: the program.
    .executableTarget(
      name: "worker-agent",
      dependencies: [
        "Agent", "Configuration", "LocalWebUI", "Support", "Upload", argumentParser, logging, systemPackage,
        unixSignals,
      ],
      // The demo has its test distribution and its guest in itself, so that the program is one file.
      resources: [.embedInCode("DemoFiles")],
      swiftSettings: swiftSettings,
      linkerSettings: hardened
    ),

    // What tests share.
    .systemLibrary(name: "CTLS", path: "Tests/CTLS", pkgConfig: "libssl", providers: [.apt(["libssl-dev"])]),
    .target(
      name: "TestSupport",
      dependencies: ["CTLS", "HTTPServer", "OpenQAProtocol", "Support", systemPackage],
      path: "Tests/TestSupport",
      swiftSettings: swiftSettings
    ),
    .executableTarget(
      name: "fake-isotovideo",
      dependencies: ["HTTPServer", "Support", argumentParser, systemPackage],
      path: "Tests/fake-isotovideo",
      exclude: ["README.md"],
      swiftSettings: swiftSettings
    ),
    .executableTarget(
      name: "benchmark-uploads",
      dependencies: [
        "Configuration", "HTTPServer", "OpenQAProtocol", "PNGOptimizer", "Support", "Transport", "Upload",
        "WebUIClient", argumentParser, logging, systemPackage,
      ],
      path: "Tests/benchmark-uploads",
      swiftSettings: swiftSettings
    ),
    .executableTarget(name: "tree-maker", path: "Tests/tree-maker", linkerSettings: cProgram),
    // What scripts/benchmark-png measures.
    .executableTarget(
      name: "benchmark-png", dependencies: ["CPNGReference", "PNGOptimizer", "Support", systemPackage],
      path: "Tests/benchmark-png", swiftSettings: swiftSettings),
    .testTarget(
      name: "FakeIsotovideoTests",
      dependencies: ["Support", "TestSupport", "Transport", "fake-isotovideo", systemPackage],
      resources: [.copy("Fixtures")],
      swiftSettings: swiftSettings
    ),
    // What the optimiser is held against: libpng alone.
    .target(
      name: "CPNGReference", dependencies: ["CPNG"], path: "Tests/CPNGReference",
      linkerSettings: [.linkedLibrary("png")]),
    tests("Support", []),
    tests("HTTPServer", [nioCore, nioPosix]),
    tests(
      "ProcessTree", ["CLinux", "Support", "job-supervisor", "tree-maker", systemPackage],
      resources: [.copy("Fixtures")]
    ),
    tests("PNGOptimizer", ["CPNGReference", "Support", systemPackage]),
    tests("Transport", ["HTTPServer", systemPackage]),
    tests("OpenQAProtocol", [], resources: [.copy("Fixtures")]),
    tests("Configuration", [systemPackage]),
    tests("WebUIClient", ["Configuration", "HTTPServer", "Support", "Transport", logging, systemPackage]),
    tests(
      "WebUISession",
      ["Configuration", "HTTPServer", "OpenQAProtocol", "Support", "Transport", "WebUIClient", logging]
    ),
    tests(
      "AssetCache",
      ["Configuration", "HTTPServer", "OpenQAProtocol", "Support", "Transport", logging, systemPackage]
    ),
    tests("CommandServerClient", ["HTTPServer", "Support", "Transport", logging]),
    tests(
      "Live",
      ["Configuration", "HTTPServer", "OpenQAProtocol", "Support", "Transport", "WebUIClient", logging, systemPackage]
    ),
    tests("Engines", ["Configuration", "OpenQAProtocol", "ProcessTree", "Support", systemPackage]),
    tests(
      "Upload",
      [
        "Configuration", "HTTPServer", "LocalWebUI", "OpenQAProtocol", "PNGOptimizer", "Support", "Transport",
        "WebUIClient", logging, systemPackage,
      ]
    ),
    tests(
      "Agent",
      [
        "Configuration", "Engines", "HTTPServer", "Live", "LocalWebUI", "OpenQAProtocol", "ProcessTree", "Support",
        "Transport", "fake-isotovideo", logging, systemPackage,
      ]
    ),
    tests(
      "LocalWebUI", ["OpenQAProtocol", "Support", "Transport", systemPackage],
      resources: [.copy("../OpenQAProtocolTests/Fixtures")]
    ),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
