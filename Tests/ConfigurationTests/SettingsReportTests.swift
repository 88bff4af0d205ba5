import Configuration
import Testing

@Suite("The table of settings")
struct SettingsReportTests {
  @Test("each key has a line with value and source, secrets and control characters are not shown")
  func table() throws {
    let text = """
      [global]
      HOST = http://w
      WORKER_CLASS = a
      IPMI_PASSWORD = s3cret1
      MY_SECRET_KEY = s3cret2
      _secret_x = s3cret3
      BELL = a\u{7}\u{1B}[31m\u{202E}b
      EMPTY =
      OPENQA_BASEDIR = mine
      [3]
      WORKER_CLASS += b
      """
    let settings = try Fixture(text, client: "[w]\nkey = K\nsecret = s3cret4\n").settings()
    let report = "\(SettingsReport(settings, detected: ["WORKER_CLASS": "no", "ARCH": "x86_64"]))"
    let lines = report.split(separator: "\n").map { $0.split(separator: " ", omittingEmptySubsequences: true) }
    func line(_ key: String) -> [String] { lines.filter { $0.first == key[...] }.map { $0.joined(separator: " ") } }
    for key in Settings.Key.allCases where key != .baseDirectory { #expect(line(key.rawValue).count == 1, "\(key)") }
    let file = "/etc/openqa/workers.ini"
    #expect(line("HOST") == ["HOST http://w \(file):2 [global]"])
    #expect(line("WORKER_CLASS") == ["WORKER_CLASS a,b \(file):3 [global], \(file):11 [3]"])
    #expect(line("ARCH") == ["ARCH x86_64 detected"] && line("RETRIES") == ["RETRIES 60 default"])
    #expect(line("LOCK_NAME") == ["LOCK_NAME - default"] && line("EMPTY") == ["EMPTY (empty) \(file):8 [global]"])
    #expect(line("IPMI_PASSWORD") == ["IPMI_PASSWORD ******** \(file):4 [global]"])
    #expect(line("BELL") == ["BELL a\u{FFFD}\u{FFFD}[31m\u{FFFD}b \(file):7 [global]"])
    #expect(line("OPENQA_BASEDIR") == ["OPENQA_BASEDIR /var/lib default", "OPENQA_BASEDIR mine \(file):9 [global]"])
    #expect(line("key") == ["key K /etc/openqa/client.conf:2 [w]"])
    #expect(line("secret") == ["secret ******** /etc/openqa/client.conf:3 [w]"])
    #expect(!report.contains("s3cret"))
    let own = try #require(report.firstRange(of: "Unknown here, given to every job\n"))
    #expect(report[own.upperBound...].split(separator: "\n").count == 5)
    #expect(report.contains("Files, the later laid over the earlier: \(file), /etc/openqa/client.conf\n"))
  }

  @Test("columns are aligned, and a long value does not push all others away")
  func columns() throws {
    let settings = try Fixture("[global]\nHOST = \(String(repeating: "h", count: 500))\n").settings()
    let lines = "\(SettingsReport(settings))".split(separator: "\n").map(String.init)
    let header = try #require(lines.first { $0.hasPrefix("KEY") })
    let start = try #require(header.firstRange(of: "SOURCE")).lowerBound.utf16Offset(in: header)
    let retries = try #require(lines.first { $0.hasPrefix("RETRIES") })
    #expect(retries.firstRange(of: "default")?.lowerBound.utf16Offset(in: retries) == start && start < 90)
  }
}
