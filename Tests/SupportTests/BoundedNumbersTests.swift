import Support
import Testing

@Suite("Numbers from outside")
struct BoundedNumbersTests {
  @Test(
    "a double becomes the nearest integer that there is",
    arguments: [
      (0, 0), (1.9, 1), (-1.9, -1), (1e19, .max), (-1e19, .min), (.infinity, .max), (-.infinity, .min), (.nan, 0),
      (9_223_372_036_854_775_808, .max), (1e300, .max), (-9_223_372_036_854_775_808, .min),
    ] as [(Double, Int64)])
  func integers(value: Double, integer: Int64) {
    #expect(Int64(saturating: value) == integer)
    #expect(UInt8(saturating: value) == UInt8(clamping: integer))
  }

  @Test("sums do not overflow")
  func sums() {
    #expect(Int.max.addingSaturating(1) == .max && Int.min.addingSaturating(-1) == .min)
    #expect(Int.max.addingSaturating(.min) == -1 && 2.addingSaturating(3) == 5)
    #expect(UInt8(250).addingSaturating(10) == 255)
  }

  @Test("seconds are brought within the longest time")
  func seconds() {
    #expect(Duration(boundedSeconds: 1.5) == .milliseconds(1500) && Duration(boundedSeconds: .nan) == .zero)
    for huge in [1e9, 1e19, 1e300, Double.infinity] {
      #expect(Duration(boundedSeconds: huge) == .longest && Duration(boundedSeconds: -huge) == .zero - .longest)
    }
  }

  @Test(
    "a text's number is what Perl reads of it",
    arguments: [
      ("3", 3), ("3s", 3), ("  7200 ", 7200), ("1e3", 1000), ("1e", 1), ("1.5h", 1.5), (".5", 0.5), ("5.", 5),
      ("-2x", -2),
      ("+4", 4), ("1e400", .infinity), ("0x10", 0), ("", nil), ("x3", nil), (".", nil), ("inf", nil), ("nan", nil),
      ("e5", nil), ("1e-400", 0), ("\n9", 9), ("٣", nil),
    ] as [(String, Double?)])
  func leadingNumbers(text: String, number: Double?) { #expect(text.leadingNumber == number) }
}
