import CCurl
import Glibc

/// One request on one easy handle. Belongs to its lane's thread.
final class Transfer {
  let order: TransferOrder
  let easy: UnsafeMutableRawPointer
  private let body: RequestBody?
  private var headerList: UnsafeMutablePointer<curl_slist>?
  private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
  private var headers: [HTTPHeader] = []
  private var received: [UInt8] = []
  private var failure: TransportError?
  private let started = ContinuousClock.now
  /// When a byte last moved; `nil` until the connection stands.
  private var lastActivity: ContinuousClock.Instant?

  /// Configures `easy` for `order`.
  /// - Throws: ``TransportError`` with code `file`, `badURL` or `system`.
  init(
    _ order: TransferOrder, _ easy: UnsafeMutableRawPointer, _ configuration: HTTPClient.Configuration
  ) throws(TransportError) {
    self.order = order
    self.easy = easy
    let request = order.request
    body = try RequestBody(request.body)
    errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    set(CURLOPT_ERRORBUFFER, errorText)
    set(CURLOPT_URL, request.url)
    set(CURLOPT_PROTOCOLS_STR, "http,https")
    set(CURLOPT_PATH_AS_IS, 1)
    set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
    set(CURLOPT_NOSIGNAL, 1)
    set(CURLOPT_TCP_KEEPALIVE, 1)
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    set(CURLOPT_PROXY, configuration.proxies.proxy(for: order.endpoint) ?? "")
    set(CURLOPT_NOPROXY, "")
    set(CURLOPT_CONNECTTIMEOUT_MS, request.limits.connect.roundedUpMilliseconds)
    if let userAgent = configuration.userAgent { set(CURLOPT_USERAGENT, userAgent) }
    if let caFile = configuration.caFile { set(CURLOPT_CAINFO, caFile) }
    setMethodAndBody()
    setHeaders()
    setCallbacks()
  }

  deinit {
    curl_slist_free_all(headerList)
    errorText.deallocate()
  }

  /// What the end of the transfer with `code` means to the caller.
  func result(_ code: CURLcode) -> Result<HTTPResponse, any Error> {
    if let failure { return .failure(failure) }
    guard code == CURLE_OK else { return .failure(error(code)) }
    var status = 0
    _ = ccurl_response_code(easy, &status)
    return .success(HTTPResponse(status: status, headers: headers, body: received))
  }

  /// When to look at the limits again, if nothing happens until then.
  var nextLimit: ContinuousClock.Instant {
    let limits = order.request.limits
    let inactive = (lastActivity ?? .now) + limits.inactivity
    guard let total = limits.total else { return inactive }
    return min(inactive, started + total)
  }

  /// The error if a limit has passed at `now`.
  func overdue(_ now: ContinuousClock.Instant) -> TransportError? {
    let limits = order.request.limits
    if let total = limits.total, now >= started + total {
      return TransportError(.timedOut, "\(order.endpoint.description): no complete answer within \(total)")
    }
    if let lastActivity, now >= lastActivity + limits.inactivity {
      return TransportError(.timedOut, "\(order.endpoint.description): nothing moved for \(limits.inactivity)")
    }
    return nil
  }

  // MARK: Options

  private func set(_ option: CURLoption, _ value: String) { _ = ccurl_set_string(easy, option, value) }
  private func set(_ option: CURLoption, _ value: Int) { _ = ccurl_set_long(easy, option, value) }
  private func set(_ option: CURLoption, _ value: UnsafeMutableRawPointer?) {
    _ = ccurl_set_pointer(easy, option, value)
  }

  private func setMethodAndBody() {
    let method = order.request.method
    switch (method, body) {
    case (.get, nil): set(CURLOPT_HTTPGET, 1)
    case (.head, nil): set(CURLOPT_NOBODY, 1)
    case (.delete, nil): set(CURLOPT_CUSTOMREQUEST, method.rawValue)
    default:
      // One way for all bodies: a POST of known length, under another name if need be.
      set(CURLOPT_POST, 1)
      if method != .post { set(CURLOPT_CUSTOMREQUEST, method.rawValue) }
      _ = ccurl_set_offset(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body?.length ?? 0))
      set(CURLOPT_UPLOAD_BUFFERSIZE, 256 << 10)
    }
  }

  private func setHeaders() {
    // A name with nothing after the colon removes what libcurl would send by itself.
    var lines = ["Expect:"]
    if !order.request.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
      lines.append("Content-Type:" + (body?.contentType.map { " " + $0 } ?? ""))
    }
    // "Name;" is libcurl's way to say an empty value.
    lines += order.request.headers.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
    for line in lines { headerList = curl_slist_append(headerList, line) ?? headerList }
    set(CURLOPT_HTTPHEADER, headerList)
  }

  private func setCallbacks() {
    let context = Unmanaged.passUnretained(self).toOpaque()
    set(CURLOPT_WRITEDATA, context)
    _ = ccurl_set_transfer_function(easy, CURLOPT_WRITEFUNCTION) { bytes, _, count, context in
      guard let transfer = Transfer.from(context) else { return 0 }
      return transfer.receive(UnsafeRawBufferPointer(start: bytes, count: count))
    }
    set(CURLOPT_HEADERDATA, context)
    _ = ccurl_set_transfer_function(easy, CURLOPT_HEADERFUNCTION) { bytes, _, count, context in
      guard let transfer = Transfer.from(context) else { return 0 }
      transfer.receiveHeader(String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self))
      return count
    }
    set(CURLOPT_PREREQDATA, context)
    _ = ccurl_set_prerequest_function(easy) { context, _, _, _, _ in
      Transfer.from(context)?.lastActivity = .now
      return CURL_PREREQFUNC_OK
    }
    guard body != nil else { return }
    set(CURLOPT_READDATA, context)
    _ = ccurl_set_transfer_function(easy, CURLOPT_READFUNCTION) { bytes, size, count, context in
      guard let transfer = Transfer.from(context) else { return Int(CURL_READFUNC_ABORT) }
      return transfer.supply(UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
    }
    set(CURLOPT_SEEKDATA, context)
    _ = ccurl_set_seek_function(easy) { context, offset, _ in
      Transfer.from(context)?.body?.seek(to: Int(offset))
      return CURL_SEEKFUNC_OK
    }
  }

  // MARK: Called by libcurl

  private static func from(_ context: UnsafeMutableRawPointer?) -> Transfer? {
    context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
    lastActivity = .now
    guard received.count + bytes.count <= order.request.limits.responseBytes else {
      failure = TransportError(
        .responseTooLarge,
        "\(order.endpoint.description): the answer is larger than \(order.request.limits.responseBytes) bytes")
      return 0
    }
    received.append(contentsOf: bytes)
    return bytes.count
  }

  private func receiveHeader(_ line: String) {
    lastActivity = .now
    // Each status line begins anew: what an interim answer (1xx) said is not the answer's.
    if line.hasPrefix("HTTP/") { return headers.removeAll() }
    guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else { return }
    headers.append(HTTPHeader(String(line[..<colon]), line[colon...].dropFirst().trimmed))
  }

  private func supply(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
    lastActivity = .now
    do throws(TransportError) {
      return try body?.read(into: buffer) ?? 0
    } catch {
      failure = error
      return Int(CURL_READFUNC_ABORT)
    }
  }

  // MARK: Errors

  private func error(_ code: CURLcode) -> TransportError {
    let detail = errorText.pointee == 0 ? String(cString: curl_easy_strerror(code)) : String(cString: errorText)
    return TransportError(Self.kind(code), "\(order.endpoint.description): \(detail)")
  }

  private static func kind(_ code: CURLcode) -> TransportError.Code {
    switch code {
    case CURLE_URL_MALFORMAT: .badURL
    case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .resolve
    case CURLE_COULDNT_CONNECT, CURLE_PROXY, CURLE_INTERFACE_FAILED: .connect
    case CURLE_OPERATION_TIMEDOUT: .timedOut
    case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
      CURLE_SSL_CIPHER, CURLE_SSL_ENGINE_INITFAILED, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CRL_BADFILE,
      CURLE_USE_SSL_FAILED:
      .tls
    case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_SEND_FAIL_REWIND: .closed
    case CURLE_OUT_OF_MEMORY, CURLE_FAILED_INIT: .system
    default: .protocolViolation
    }
  }
}

extension Duration {
  /// For interfaces that count milliseconds and take 0 for "no limit".
  var roundedUpMilliseconds: Int {
    Int(min(max((self / .milliseconds(1)).rounded(.up), 1), Double(Int32.max)))
  }
}

extension Substring {
  /// Without blanks and line ends around it.
  fileprivate var trimmed: String {
    let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0.isNewline }
    var rest = drop(while: isBlank)
    while let last = rest.last, isBlank(last) { rest.removeLast() }
    return String(rest)
  }
}
