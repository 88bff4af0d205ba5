import Configuration
import Support
import SystemPackage
import Testing

@Suite("Settings")
struct SettingsTests {
  func load(
    _ workers: String, client: String = "", instance: Int = 3, environment: [String: String] = [:],
    change: (inout CommandLineOptions) -> Void = { _ in }
  ) throws -> Settings {
    var options = CommandLineOptions()
    options.instance = instance
    change(&options)
    return try Settings(options: options, environment: environment) { path in
      ["/etc/openqa/workers.ini": workers, "/etc/openqa/client.conf": client][path.string]
    }
  }

  @Test("later sections override, classes fill in, unknown keys go to the job")
  func layers() throws {
    let settings = try load(
      """
      [global]
      host = http://a:80 b
      WORKER_CLASS = x
      FOO = global ; still foo
      [1,3-5]
      WORKER_CLASS += y
      foo = ranged
      [4]
      FOO = four
      [class:y]
      FOO = class
      BAR = class
      [b]
      SHARE_DIRECTORY = /b-share
      """)
    #expect(settings.webUIs.map(\.address.entry) == ["http://a:80", "b"])
    #expect(settings.webUIs.map(\.shareDirectory) == [nil, "/b-share"])
    #expect(settings.workerClass == "x,y")
    #expect(
      settings.jobSettings == [
        "WORKER_CLASS": "x,y", "FOO": "ranged", "BAR": "class", "RETRY_DELAY": 5, "RETRY_DELAY_IF_WEBUI_BUSY": 60,
      ])
    #expect(try load("[global]\nFOO = a\n[4]\nFOO = four\n", instance: 4).jobSettings["FOO"] == "four")
  }

  @Test("defaults")
  func defaults() throws {
    let settings = try load("")
    #expect(settings.webUIs.map(\.address.origin) == ["http://localhost"])
    #expect(settings.webUIs[0].credentials == nil)
    #expect(settings.pool == "/var/lib/openqa/pool/3")
    #expect(settings.qemuPort == 20032 && settings.vncDisplay == 93)
    #expect(settings.retry == Settings.Retry(tries: 60, delay: .seconds(5), delayIfBusy: .seconds(60)))
    #expect(settings.statusInterval == .seconds(60) ... .seconds(300))
    #expect(settings.logLevel == .info && settings.jobSettings.count == 2 && settings.warnings.isEmpty)
  }

  @Test("flags win over the environment, which wins over the files")
  func precedence() throws {
    let client = "[w]\nkey = K0\nkey = K1\nsecret = S1  \n"
    let workers = "[global]\nHOST = http://w:8080\nRETRIES = 7\n"
    #expect(try load(workers, client: client).webUIs[0].credentials == Credentials(key: "K1", secret: "S1"))
    let environment = [
      "OPENQA_API_KEY": "K2", "OPENQA_API_SECRET": "S2", "OPENQA_WORKER_CONNECT_RETRIES": "9", "OPENQA_BASEDIR": "/b",
    ]
    let fromEnvironment = try load(workers, client: client, environment: environment)
    #expect(fromEnvironment.webUIs[0].credentials?.key == "K2")
    #expect(fromEnvironment.retry.tries == 9)
    #expect(fromEnvironment.pool == "/b/openqa/pool/3")
    let fromFlags = try load(workers, client: client, environment: environment) {
      $0.apiKey = "K3"
      $0.apiSecret = "S3"
      $0.hosts = "other"
      $0.isVerbose = true
    }
    #expect(fromFlags.webUIs.map(\.address.entry) == ["other"])
    #expect(fromFlags.webUIs[0].credentials == Credentials(key: "K3", secret: "S3"))
    #expect(fromFlags.logLevel == .debug && fromFlags.jobSettings["LOG_LEVEL"] == "debug")
  }

  @Test("what cannot be used is named and replaced by the default")
  func warnings() throws {
    let settings = try load("[global]\nRETRIES = many\nLOG_LEVEL = loud\nnonsense\n")
    #expect(settings.retry.tries == 60)
    #expect(settings.warnings.count == 3)
    #expect(settings.warnings[0].hasPrefix("/etc/openqa/workers.ini: line 4: 'nonsense'"))
    #expect(throws: ConfigurationError.self) { try load("[global]\nHOST = \n") }
  }

  @Test("a secret is not part of what is printed")
  func secret() { #expect("\(Credentials(key: "K", secret: "S3CRET"))" == "key K") }
}

@Suite("A web UI's address")
struct WebUIAddressTests {
  @Test(
    "entries",
    arguments: [
      ("localhost", "http://localhost", "localhost", "localhost", true),
      ("localhost:9526", "http://localhost:9526", "localhost:9526", "localhost:9526", false),
      ("http://localhost:9526", "http://localhost:9526", "localhost:9526", "localhost", true),
      ("https://openqa.example/x?y", "https://openqa.example", "openqa.example", "openqa.example", false),
      ("[::1]", "http://[::1]", "[::1]", "[::1]", true),
      ("http://[::1]:8080/", "http://[::1]:8080", "[::1]:8080", "[::1]", true),
    ])
  func entries(entry: String, origin: String, authority: String, baseHost: String, isLocal: Bool) throws {
    let address = try WebUIAddress(entry)
    #expect(address.origin == origin)
    #expect(address.authority == authority)
    #expect(address.baseHost == baseHost)
    #expect(address.isLocal == isLocal)
  }

  @Test("what is no address is refused", arguments: ["", "ftp://x", "http://", "h:0", "h:99999", "h:x", "u:p@h", "ü"])
  func refused(entry: String) {
    #expect(throws: ConfigurationError.self) { try WebUIAddress(entry) }
  }
}
