import CCurl
import Support

/// HTTP/1.1 on libcurl: kept-alive connections, one thread for each ``Lane``.
///
/// Redirects are answers, never followed. A request whose kept connection turns out to be dead before any byte of an
/// answer is sent again on a new one, as HTTP clients do.
///
/// Files of multipart bodies are read on a thread of their own: a storage that hangs stops requests that have files, until
/// their inactivity limit, and no others.
public final class HTTPClient: Sendable {
  /// The queue and thread that a request uses; lanes never wait for each other.
  public enum Lane: Sendable, Hashable, CaseIterable {
    /// Short calls.
    case control
    /// Uploads and downloads.
    case bulk
  }

  /// What all requests of a client share.
  public struct Configuration: Sendable {
    /// Connections of one lane at a time, over all hosts; further requests wait for one. Far more than for one host, so
    /// that those which do not answer leave room for others.
    public var connectionsPerLane: Int
    /// Connections of one lane to one host and port. Without a limit, a burst of requests overflows the server's backlog,
    /// and the rest hangs for a minute.
    public var connectionsPerHost: Int
    /// Value of the `User-Agent` header; `nil` leaves it out.
    public var userAgent: String?
    /// A file of PEM certificates to trust besides the system's directory.
    public var caFile: String?
    /// The proxies.
    public var proxies: ProxySettings

    /// Makes a configuration.
    public init(
      connectionsPerLane: Int = 64, connectionsPerHost: Int = 8, userAgent: String? = nil, caFile: String? = nil,
      proxies: ProxySettings = .environment()
    ) {
      self.connectionsPerLane = connectionsPerLane
      self.connectionsPerHost = connectionsPerHost
      self.userAgent = userAgent
      self.caFile = caFile
      self.proxies = proxies
    }
  }

  private let control: TransferLane
  private let bulk: TransferLane

  /// Starts the lanes' threads.
  /// - Throws: ``TransportError`` with code `system`.
  public init(_ configuration: Configuration = Configuration()) throws {
    let files: IOLane
    do {
      files = try IOLane(name: "http-files")
    } catch {
      throw TransportError(.system, "\(error)")
    }
    control = try TransferLane(name: "http-control", configuration, files: files)
    do {
      bulk = try TransferLane(name: "http-bulk", configuration, files: files)
    } catch {
      control.stop()
      throw error
    }
  }

  deinit {
    control.stop()
    bulk.stop()
  }

  /// Sends `request` and waits for the complete answer.
  ///
  /// A cancelled call ends at once, and its connection is closed; what the server has received by then stays received.
  /// - Throws: ``TransportError``, or `CancellationError` if the task is cancelled.
  public func send(_ request: HTTPRequest, on lane: Lane = .control) async throws -> HTTPResponse {
    try await (lane == .control ? control : bulk).send(request)
  }

  /// Lets a lane's thread run `body` in its next turn: whether it does tells whether the thread goes on. After
  /// ``shutdown()`` nothing comes of it.
  public func submit(to lane: Lane, _ body: @escaping @Sendable () -> Void) {
    (lane == .control ? control : bulk).submit(body)
  }

  /// Ends every request with ``TransportError/Code/shutDown``, closes the connections and returns when the threads have
  /// ended. Later requests fail the same way.
  public func shutdown() async {
    for lane in [control, bulk] {
      lane.stop()
      await lane.ended()
    }
  }
}
