public import SystemPackage

/// One field of a `multipart/form-data` form.
public struct MultipartPart: Sendable {
  /// A field's value.
  public enum Content: Sendable {
    /// These bytes.
    case bytes([UInt8])
    /// The file's bytes, read while they are sent. Its size is taken when the request starts; a file that shrinks
    /// afterwards fails the request with ``TransportError/Code/file``, and what is appended afterwards is not sent.
    case file(FilePath)
    /// So many bytes, made while they are sent. A source that has more or fewer fails the request with
    /// ``TransportError/Code/file``.
    case made(length: Int, by: any BodySource)
  }

  /// The field's name.
  public var name: String
  /// The file name told to the server; `nil` makes an ordinary field.
  public var filename: String?
  /// The part's `Content-Type`; `nil` leaves it out.
  public var contentType: String?
  /// The value.
  public var content: Content

  /// Makes a part.
  public init(name: String, filename: String? = nil, contentType: String? = nil, content: Content) {
    self.name = name
    self.filename = filename
    self.contentType = contentType
    self.content = content
  }

  /// The part's header block with the empty line that ends it.
  var head: String {
    var head = "Content-Disposition: form-data; name=\"\(Self.quoted(name))\""
    if let filename { head += "; filename=\"\(Self.quoted(filename))\"" }
    if let contentType { head += "\r\nContent-Type: \(contentType)" }
    return head + "\r\n\r\n"
  }

  /// As browsers write it: only what would end the quoted string or the line is escaped, by its percent code.
  /// Everything else goes as UTF-8.
  private static func quoted(_ text: String) -> String {
    guard text.utf8.contains(where: { "\"\r\n".utf8.contains($0) }) else { return text }
    var quoted = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "%22"
      case "\r": quoted += "%0D"
      case "\n": quoted += "%0A"
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted
  }
}
