import Testing
import Transport

@Suite("Dates in HTTP headers")
struct HTTPDateTests {
  @Test(
    "a date",
    arguments: [
      ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
      ("Tue, 29 Feb 2028 23:59:59 GMT", 1_835_481_599),
    ] as [(String, Int64)])
  func date(text: String, seconds: Int64) { #expect(HTTPDate.seconds(text) == seconds) }

  @Test(
    "what is none",
    arguments: [
      "", "now", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 CET",
      "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT",
      "Sun, 06 Xxx 1994 08:49:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT",
      "Sun, 06 Nov 1994 08:49:37 GMT ", "     ",
    ])
  func nonsense(text: String) { #expect(HTTPDate.seconds(text) == nil) }

  @Test("how long to wait")
  func wait() {
    func wait(_ value: String) -> Duration? { HTTPDate.wait(retryAfter: value, now: 784_111_700) }
    #expect(wait("0") == .zero && wait("120") == .seconds(120))
    #expect(wait("Sun, 06 Nov 1994 08:49:37 GMT") == .seconds(77))
    #expect(wait("Sun, 06 Nov 1994 08:00:00 GMT") == .zero)
    for nonsense in ["", "-1", "+1", "1.5", "soon", "1 2", "99999999999999999999"] { #expect(wait(nonsense) == nil) }
  }
}
