import Configuration
import SystemPackage
import Testing

@Suite("Web UIs")
struct WebUIsTests {
  @Test("what a web UI's section says counts for it alone")
  func sections() throws {
    let settings = try Fixture(
      """
      [global]
      HOST = http://a:80 b http://a
      RETRY_DELAY = 7
      [http://a:80]
      share_directory = /a
      TESTPOOLSERVER = rsync://a/tests
      RETRY_DELAY = 1
      RETRY_DELAY_IF_WEBUI_BUSY = x
      FOO = 1
      [a]
      SHARE_DIRECTORY = /no
      """
    ).settings()
    #expect(settings.webUIs.map(\.shareDirectory) == ["/a", nil, nil])
    #expect(settings.webUIs.map(\.testPoolServer) == ["rsync://a/tests", nil, nil])
    #expect(settings.webUIs.map(\.retry.delay) == [.seconds(1), .seconds(7), .seconds(7)])
    #expect(settings.webUIs.map(\.retry.delayIfBusy) == [.seconds(60), .seconds(60), .seconds(60)])
    #expect(
      settings.webUIs[0].items.map { "\($0.key) \($0.line)" } == [
        "key - <- default", "secret - <- default", "SHARE_DIRECTORY /a <- /etc/openqa/workers.ini:5 [http://a:80]",
        "TESTPOOLSERVER rsync://a/tests <- /etc/openqa/workers.ini:6 [http://a:80]",
        "RETRY_DELAY 1 <- /etc/openqa/workers.ini:7 [http://a:80]", "RETRY_DELAY_IF_WEBUI_BUSY 60 <- default",
      ])
    #expect(settings.warnings.count == 2)
    #expect(settings.warnings[0].hasSuffix("RETRY_DELAY_IF_WEBUI_BUSY = x: not a number, taken as 60"))
    #expect(settings.warnings[1].hasPrefix("/etc/openqa/workers.ini:9 [http://a:80]: FOO means nothing"))
    #expect(settings.jobSettings["SHARE_DIRECTORY"] == nil && settings.jobSettings["FOO"] == nil)
  }

  @Test("key and secret each come from the first that has them: flags, environment, file")
  func credentials() throws {
    var fixture = Fixture(
      "[global]\nHOST = http://w:8080 https://[::1]/ other\n",
      client:
        "[w]\nkey = K0\nKey = K1\nsecret = S0\nsecret = S1  \n[[::1]]\nkey = K6\nsecret = S6 ; x\n[http://w:8080]\nkey = no\n"
    )
    #expect(
      try fixture.settings().webUIs.map(\.credentials) == [
        Credentials(key: "K1", secret: "S1"), Credentials(key: "K6", secret: "S6 ; x"), nil,
      ])
    #expect(try fixture.settings().warnings.map { $0.contains("S1") } == [false])
    fixture.environment = ["OPENQA_API_KEY": "K2", "OPENQA_API_SECRET": "S2"]
    #expect(try fixture.settings().webUIs.map(\.credentials?.key) == ["K2", "K2", "K2"])
    fixture.options.apiKey = "K3"
    let mixed = try fixture.settings().webUIs[0]
    #expect(mixed.credentials == Credentials(key: "K3", secret: "S2"))
    #expect(mixed.items.prefix(2).map(\.line) == ["K3 <- --apikey", "******** <- $OPENQA_API_SECRET"])
    fixture.environment = [:]
    let half = try fixture.settings()
    #expect(half.webUIs.map { $0.credentials == nil } == [false, false, true])
    #expect(
      half.warnings.contains("no secret for other: requests are not signed; add it to [other] of client.conf"))
  }

  @Test("entries of HOST that can't be used are left out, those that are there twice count once")
  func hosts() throws {
    let settings = try Fixture("[global]\nHOST = a ftp://b a c:x http://u:s3cret@d\n").settings()
    #expect(settings.webUIs.map(\.address.entry) == ["a"])
    #expect(settings.warnings.count == 4 && settings.warnings.allSatisfy { $0.hasPrefix("/etc/openqa/workers.ini:2") })
    #expect(settings.warnings.allSatisfy { !$0.contains("s3cret") })
    #expect(settings.item("HOST")?.contains("s3cret") == false)
    let error = #expect(throws: ConfigurationError.self) { try Fixture("[global]\nHOST = ftp://b\n").settings() }
    #expect(
      error?.description == """
        /etc/openqa/workers.ini:2 [global]: HOST entry 'ftp://b': unknown scheme 'ftp'; write host, host:port or \
        http[s]://host[:port]
        """)
  }

  @Test(
    "addresses",
    arguments: [
      ("localhost", "http://localhost", "localhost", "localhost", true),
      ("localhost:9526", "http://localhost:9526", "localhost:9526", "localhost:9526", false),
      ("http://localhost:9526", "http://localhost:9526", "localhost:9526", "localhost", true),
      ("https://openqa.example/x?y", "https://openqa.example", "openqa.example", "openqa.example", false),
      ("[::1]", "http://[::1]", "[::1]", "[::1]", true),
      ("http://[::1]:8080/", "http://[::1]:8080", "[::1]:8080", "[::1]", true),
    ])
  func addresses(entry: String, origin: String, authority: String, baseHost: String, isLocal: Bool) throws {
    let address = try WebUIAddress(entry)
    #expect(address.origin == origin)
    #expect(address.authority == authority)
    #expect(address.baseHost == baseHost)
    #expect(address.isLocal == isLocal)
  }

  @Test(
    "what is no address is refused",
    arguments: ["", "ftp://x", "http://", "h:0", "h:99999", "h:x", "u:p@h", "http://u:p@h", "ü", "::1", "a:1:2", "[a"])
  func refused(entry: String) {
    let error = #expect(throws: ConfigurationError.self) { try WebUIAddress(entry) }
    #expect(error?.description.contains("u:p") == false)
  }

  @Test("a secret is not part of what is printed")
  func secret() {
    #expect("\(Credentials(key: "K", secret: "S3CRET"))" == "key K")
    let ipmi = Settings.IPMI(hostname: "h", user: "u", password: "S3CRET", options: "", autoShutdownInterval: nil)
    #expect("\(ipmi)" == "u@h")
  }
}
