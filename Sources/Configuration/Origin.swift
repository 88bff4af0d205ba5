package import SystemPackage

/// Where a value of the configuration comes from.
package enum Origin: Sendable, Hashable, CustomStringConvertible {
  /// A line of a file, counted from 1.
  case file(FilePath, line: Int, section: String)
  /// A variable of the environment.
  case environment(String)
  /// A flag of the command line, with its dashes.
  case flag(String)
  /// Found out on this host.
  case detected
  /// Nothing says anything else.
  case standard

  /// As one writes it down: `/etc/openqa/workers.ini:3 [global]`, `$HOME`, `--host`.
  package var description: String {
    switch self {
    case .file(let path, let line, let section): "\(path):\(line) [\(section)]"
    case .environment(let name): "$\(name)"
    case .flag(let name): name
    case .detected: "detected"
    case .standard: "default"
    }
  }
}

/// A text of the configuration and where it comes from: one place, or several if `+=` put it together.
struct Value: Sendable, Hashable {
  var text: String
  var origins: [Origin]
}
