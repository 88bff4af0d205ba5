import Support
import Testing

@Suite("Digest")
struct DigestTests {
  @Test(
    "known answers",
    arguments: [
      (Digest.md5, "900150983cd24fb0d6963f7d28e17f72"),
      (Digest.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
      (Digest.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ])
  func known(digest: Digest, expected: String) { #expect(digest("abc".utf8).hexadecimal == expected) }

  @Test("HMAC-SHA1, RFC 2202 case 2")
  func hmac() {
    let code = Digest.hmacSHA1(key: Array("Jefe".utf8), message: Array("what do ya want for nothing?".utf8))
    #expect(code.hexadecimal == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
    #expect(Digest.hmacSHA1(key: [], message: []).hexadecimal == "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d")
  }
}
