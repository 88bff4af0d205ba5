/// One header line of a request or response.
public struct HTTPHeader: Sendable, Hashable {
  /// The name, compared without regard to case.
  public var name: String
  /// The value, without surrounding blanks.
  public var value: String

  /// Makes the header `name: value`.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }

  /// Whether the header can be written without breaking the lines around it.
  var isSendable: Bool {
    !name.isEmpty
      && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") }
      && value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
  }
}

extension [HTTPHeader] {
  /// The value of the first header called `name`, in any case.
  func first(_ name: String) -> String? {
    let wanted = name.lowercased()
    return first { $0.name.lowercased() == wanted }?.value
  }
}
