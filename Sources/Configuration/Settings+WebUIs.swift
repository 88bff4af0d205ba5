import Support
import SystemPackage

extension Settings {
  /// What the web UIs' settings are made of.
  struct WebUISources {
    var options: CommandLineOptions
    var environment: [String: String]
    var workers: MergedFile
    var clients: MergedFile
    /// For all web UIs.
    var retry: Retry
    /// The folder that relative paths are in.
    var directory: FilePath

    /// The web UIs that HOST names.
    /// - Parameter warnings: gets what was left out.
    /// - Throws: ``ConfigurationError`` if none is left.
    func webUIs(_ hosts: String, from origins: [Origin], warnings: inout [String]) throws(ConfigurationError) -> [WebUI]
    {
      let place = origins.map(\.description).joined(separator: ", ")
      var webUIs: [WebUI] = []
      var problem: ConfigurationError?
      for entry in hosts.split(whereSeparator: \.isWhitespace) {
        do {
          let address = try WebUIAddress(String(entry))
          if webUIs.contains(where: { $0.address.entry == address.entry }) {
            warnings.append("\(place): HOST names \(address) twice; once is enough")
          } else {
            webUIs.append(webUI(address, warnings: &warnings))
          }
        } catch {
          problem = ConfigurationError("\(place): \(error)")
          warnings.append("\(place): \(error); left out")
        }
      }
      guard webUIs.isEmpty else { return webUIs }
      throw problem ?? ConfigurationError("HOST names no web UI; set it in workers.ini or give --host")
    }

    private func webUI(_ address: WebUIAddress, warnings: inout [String]) -> WebUI {
      var reader = SettingsReader(environment: [:])
      reader.lay(workers[address.entry])
      var items: [Item] = []
      let credentials = credentials(for: address, items: &items, warnings: &warnings)
      func text(_ key: String) -> String? {
        let value = reader.values[key].flatMap { $0.text.isEmpty ? nil : $0 }
        items.append(Item(key: key, value: value?.text, origins: value?.origins ?? [.standard]))
        return value?.text
      }
      let shareDirectory = text("SHARE_DIRECTORY").map { directory.pushing(FilePath($0)) }
      let testPoolServer = text("TESTPOOLSERVER")
      var retry = retry
      if reader.configured(.retryDelay) != nil { retry.delay = reader.seconds(.retryDelay) }
      if reader.configured(.retryDelayIfBusy) != nil { retry.delayIfBusy = reader.seconds(.retryDelayIfBusy) }
      warnings += reader.warnings
      for (key, value) in reader.values.sorted(by: { $0.key < $1.key }) where !WebUI.keys.contains(key) {
        let known = WebUI.keys.joined(separator: ", ")
        warnings.append("\(value.origins[0]): \(key) means nothing for a single web UI, only \(known) do; left out")
      }
      return WebUI(
        address: address, credentials: credentials, shareDirectory: shareDirectory, testPoolServer: testPoolServer,
        retry: retry, items: items + reader.items)
    }

    /// Key and secret, each from the first that has it: flag, environment, client.conf (protocol §1.3).
    private func credentials(
      for address: WebUIAddress, items: inout [Item], warnings: inout [String]
    ) -> Credentials? {
      func value(_ name: String, flag: String?) -> String? {
        let variable = "OPENQA_API_\(name.uppercased())"
        let entry = clients[address.host].last { $0.key.lowercased() == name && !$0.appends }
        let values = [
          flag.map { Value(text: $0, origins: [.flag("--api\(name)")]) },
          environment[variable].map { Value(text: $0, origins: [.environment(variable)]) }, entry?.value,
        ]
        let value = values.compactMap { $0 }.first { !$0.text.isEmpty }
        items.append(Item(key: name, value: value?.text, origins: value?.origins ?? [.standard]))
        return value?.text
      }
      switch (value("key", flag: options.apiKey), value("secret", flag: options.apiSecret)) {
      case (let key?, let secret?): return Credentials(key: key, secret: secret)
      case (nil, nil): return nil
      case (let key, _):
        let missing = key == nil ? "key" : "secret"
        let fix = "add it to [\(address.host)] of client.conf"
        warnings.append("no \(missing) for \(address): requests are not signed; \(fix)")
        return nil
      }
    }
  }
}
