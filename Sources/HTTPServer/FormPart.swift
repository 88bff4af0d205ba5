/// The header of one part of a `multipart/form-data` body.
public struct FormPart: Sendable, Equatable {
  /// The form field's name.
  public let name: String
  /// The name of the file, nil if the part is no file.
  public let filename: String?
  /// The part's header fields.
  public let headers: HeaderFields

  init(header: ArraySlice<UInt8>) throws {
    var headers = HeaderFields()
    for line in header.split(whereSeparator: { $0 == 13 || $0 == 10 }) {
      let field = line.split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
      guard field.count == 2 else { throw RequestError.malformed("multipart header") }
      let value = String(decoding: field[1], as: UTF8.self).drop { $0 == " " || $0 == "\t" }
      headers.add(String(decoding: field[0], as: UTF8.self), String(value))
    }
    let disposition = HeaderParameters(headers["content-disposition"] ?? "")
    name = disposition["name"] ?? ""
    filename = disposition["filename"]
    self.headers = headers
  }

  /// Equal in name, file name and header fields.
  public static func == (left: FormPart, right: FormPart) -> Bool {
    left.name == right.name && left.filename == right.filename && left.headers.elementsEqual(right.headers) { $0 == $1 }
  }
}

/// The parameters of a field such as `form-data; name="file"; filename="a.png"`.
struct HeaderParameters {
  /// What is before the first parameter, in lower case.
  let value: String
  private var parameters: [String: String] = [:]

  init(_ text: String) {
    var rest = Substring(text)
    value = Self.trimmed(rest.prefix { $0 != ";" }).lowercased()
    rest = rest.drop { $0 != ";" }
    while rest.first == ";" {
      rest.removeFirst()
      let name = Self.trimmed(rest.prefix { $0 != "=" && $0 != ";" }).lowercased()
      rest = rest.drop { $0 != "=" && $0 != ";" }
      guard rest.first == "=" else { continue }
      rest = rest.dropFirst().drop { $0 == " " }
      if rest.first == "\"" {
        var quoted = ""
        rest.removeFirst()
        while let character = rest.popFirst(), character != "\"" {
          // Browsers escape only quotes; a backslash before anything else is part of a file's name.
          if character == "\\", rest.first == "\"" || rest.first == "\\" {
            rest.popFirst().map { quoted.append($0) }
          } else {
            quoted.append(character)
          }
        }
        if parameters[name] == nil { parameters[name] = quoted }
      } else if parameters[name] == nil {
        parameters[name] = String(Self.trimmed(rest.prefix { $0 != ";" }))
      }
      rest = rest.drop { $0 != ";" }
    }
  }

  subscript(name: String) -> String? { parameters[name] }

  private static func trimmed(_ text: Substring) -> Substring {
    var text = text.drop { $0 == " " || $0 == "\t" }
    while text.last == " " || text.last == "\t" { text.removeLast() }
    return text
  }
}
