import Support

/// isotovideo's `base_state.json` (protocol §7): what it says about its own end.
package enum BaseState: Sendable, Hashable {
  /// There is no such file.
  case missing
  /// The file is there, but cannot be understood.
  case corrupt
  case known(component: String?, message: String?, result: String?)

  /// Reads the file's content; nil if there is no file.
  package init(parsing content: [UInt8]?) {
    guard let content else {
      self = .missing
      return
    }
    guard let json = try? JSON(parsing: content), json.object != nil else {
      self = .corrupt
      return
    }
    func text(_ key: String) -> String? { json[key]?.scalar.flatMap { $0.isEmpty ? nil : $0 } }
    self = .known(component: text("component"), message: text("msg"), result: text("result"))
  }
}
