import Foundation
import SystemPackage

/// A self-signed certificate, made by the `openssl` program in a temporary folder.
package struct TestCertificate: Sendable {
  /// What a ``ScriptedServer`` needs; the certificate file is also its own CA.
  package let identity: ScriptedServer.Identity
  private let folder: TemporaryFolder

  /// Makes a certificate for `names`, such as `DNS:localhost` or `IP:127.0.0.1`.
  package init(_ names: [String] = ["DNS:localhost", "IP:127.0.0.1"]) throws {
    folder = try TemporaryFolder()
    identity = ScriptedServer.Identity(
      certificate: folder.path.appending("certificate.pem").string, key: folder.path.appending("key.pem").string)
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    openssl.arguments = [
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-subj", "/CN=test", "-addext", "subjectAltName=\(names.joined(separator: ","))", "-keyout", identity.key,
      "-out", identity.certificate,
    ]
    openssl.standardError = FileHandle.nullDevice
    try openssl.run()
    openssl.waitUntilExit()
    guard openssl.terminationStatus == 0 else { throw Failed(status: openssl.terminationStatus) }
  }

  private struct Failed: Error { let status: Int32 }
}
