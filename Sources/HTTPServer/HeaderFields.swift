internal import NIOHTTP1

/// The header fields of a request or response, in order; names compare without regard to case.
public struct HeaderFields: Sendable, ExpressibleByDictionaryLiteral, Sequence {
  var storage: HTTPHeaders

  init(_ storage: HTTPHeaders) { self.storage = storage }

  /// No fields.
  public init() { storage = HTTPHeaders() }

  /// The fields of a literal such as `["Content-Type": "text/plain"]`, in its order.
  public init(dictionaryLiteral elements: (String, String)...) {
    self.init()
    for (name, value) in elements { add(name, value) }
  }

  /// The first value of the field `name`; setting replaces all of them, nil removes them.
  public subscript(name: String) -> String? {
    get { storage.first(name: name) }
    set {
      storage.remove(name: name)
      if let newValue { add(name, newValue) }
    }
  }

  /// Every value of the field `name`, one for each line it was sent in.
  public func values(_ name: String) -> [String] { storage[name] }

  /// Appends a field. What would end the line (CR, LF, NUL) becomes a space, so that a value cannot smuggle in others.
  public mutating func add(_ name: String, _ value: String) {
    storage.add(name: Self.oneLine(name), value: Self.oneLine(value))
  }

  /// Whether the comma-separated list in the field `name` has `token`, in any case.
  public func has(token: String, in name: String) -> Bool {
    let token = token.lowercased()
    return storage[canonicalForm: name].contains { $0.lowercased() == token }
  }

  /// All fields as (name, value), in order.
  public func makeIterator() -> AnyIterator<(name: String, value: String)> {
    var inner = storage.makeIterator()
    return AnyIterator { inner.next().map { (name: $0.0, value: $0.1) } }
  }

  private static func oneLine(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 == 13 || $0 == 10 || $0 == 0 }) else { return text }
    return String(decoding: text.utf8.map { $0 == 13 || $0 == 10 || $0 == 0 ? 32 : $0 }, as: UTF8.self)
  }
}
