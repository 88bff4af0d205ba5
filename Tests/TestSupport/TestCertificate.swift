import Foundation
import Support
import SystemPackage

/// A self-signed certificate, made by the `openssl` program in a temporary folder.
package struct TestCertificate: Sendable {
  /// What a ``ScriptedServer`` needs; the certificate file is also its own CA.
  package let identity: ScriptedServer.Identity
  private let folder: TemporaryFolder

  /// Makes a certificate for `names`, such as `DNS:localhost` or `IP:127.0.0.1`.
  /// - Parameter isExpired: makes it one of many years ago.
  package init(_ names: [String] = ["DNS:localhost", "IP:127.0.0.1"], isExpired: Bool = false) throws {
    folder = try TemporaryFolder()
    identity = ScriptedServer.Identity(
      certificate: folder.path.appending("certificate.pem").string, key: folder.path.appending("key.pem").string)
    let names = "subjectAltName=\(names.joined(separator: ","))"
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test", "-keyout"]
    if !isExpired {
      try run(
        ["req", "-x509", "-days", "2", "-addext", names, "-out", identity.certificate] + key + [identity.key])
      return
    }
    // Only `openssl ca` makes certificates of other times, and it wants files for everything.
    func file(_ name: String) -> String { folder.path.appending(name).string }
    let configuration = """
      [ca]
      default_ca = authority
      [authority]
      database = \(file("index"))
      new_certs_dir = \(folder.path)
      default_md = sha256
      policy = policy
      rand_serial = yes
      x509_extensions = extensions
      [policy]
      commonName = supplied
      [extensions]
      basicConstraints = CA:TRUE
      \(names)
      """
    try Files.replace(folder.path.appending("index"), with: [])
    try Files.replace(folder.path.appending("ca.cnf"), with: configuration.utf8)
    try run(["req", "-new", "-out", file("request")] + key + [identity.key])
    try run([
      "ca", "-batch", "-notext", "-selfsign", "-in", file("request"), "-keyfile", identity.key, "-config",
      file("ca.cnf"), "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-out", identity.certificate,
    ])
  }

  private func run(_ arguments: [String]) throws {
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    openssl.arguments = ["openssl"] + arguments
    openssl.standardError = FileHandle.nullDevice
    openssl.standardOutput = FileHandle.nullDevice
    try openssl.run()
    openssl.waitUntilExit()
    guard openssl.terminationStatus == 0 else { throw Failed(status: openssl.terminationStatus) }
  }

  private struct Failed: Error { let status: Int32 }
}
