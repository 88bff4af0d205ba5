import ArgumentParser
import Configuration
import FoundationEssentials

/// The flags that are configuration, for every subcommand that needs a slot's settings.
struct SlotOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The slot's number on this host.",
      discussion: "Its pool directory is pool/N, its command server's port 20003 + 10·N, its VNC display 90 + N."))
  var instance = 1

  @Option(
    help: ArgumentHelp(
      "The web UIs to take jobs from. (default: HOST of workers.ini, or localhost)",
      discussion: "Each is host[:port], reached by http, or a URL. Blanks separate several, so quote them.",
      valueName: "hosts"))
  var host: String?

  @Option(
    help: ArgumentHelp("The API key. (default: $OPENQA_API_KEY, or that of client.conf)", valueName: "key"))
  var apikey: String?

  @Option(
    help: ArgumentHelp(
      "The API key's secret. (default: $OPENQA_API_SECRET, or that of client.conf)",
      discussion: "Every user of this host can read the flags of a process: prefer the file.", valueName: "secret"))
  var apisecret: String?

  @Option(
    help: ArgumentHelp("The path of isotovideo. (default: where it is installed)", valueName: "path"),
    completion: .file())
  var isotovideo: String?

  @Flag(name: .customLong("no-cleanup"), help: "Leave the files of a job in the pool directory.")
  var keepsPool = false

  @Flag(
    name: [.customShort("v"), .customLong("verbose"), .customShort("d"), .customLong("debug")],
    help: "Log at level debug, and tell backends to.")
  var isVerbose = false

  func validate() throws {
    guard (1...4000).contains(instance) else {
      throw ValidationError("--instance \(instance): a slot's number is from 1 to 4000")
    }
  }

  /// The slot's settings; what keeps them from being used is said, and ends the program with 1.
  func settings() throws -> Settings {
    do { return try read() } catch {
      Terminal.complain("worker-agent: \(error)\n")
      throw ExitCode(1)
    }
  }

  /// The slot's settings as they are configured now.
  func read() throws(ConfigurationError) -> Settings {
    var options = CommandLineOptions()
    options.instance = instance
    options.hosts = host
    options.apiKey = apikey
    options.apiSecret = apisecret
    options.isotovideo = isotovideo
    options.keepsPool = keepsPool
    options.isVerbose = isVerbose
    return try Settings(options: options, environment: ProcessInfo.processInfo.environment)
  }
}
