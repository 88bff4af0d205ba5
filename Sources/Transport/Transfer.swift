import CCurl
import Glibc

/// One request on one easy handle. Belongs to its lane's thread.
final class Transfer {
  let order: TransferOrder
  let handle: UnsafeMutableRawPointer
  /// A body that is read by and by; `short` is one that libcurl has from the start.
  private let body: BodyReader?
  private let short: ShortBody?
  private var headerList: UnsafeMutablePointer<curl_slist>?
  private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
  private var headers: [HTTPHeader] = []
  private var headerBytes = 0
  private var isHeadComplete = false
  private var received: [UInt8] = []
  private var failure: TransportError?
  /// Whether there was nothing to send.
  private var isPaused = false
  /// When a byte last moved; `nil` until the connection stands.
  private var lastActivity: ContinuousClock.Instant?

  /// Configures `handle` for `order`.
  /// - Parameter ask: passes on the body's demands for pieces of files, to be answered by ``supply(_:_:)``.
  init(
    _ order: TransferOrder, _ handle: UnsafeMutableRawPointer, _ configuration: HTTPClient.Configuration,
    ask: @escaping (BodyReader.Demand) -> Void
  ) {
    self.order = order
    self.handle = handle
    let request = order.request
    let content = order.body
    short = content?.short
    body = short == nil ? content.map { BodyReader($0, ask: ask) } : nil
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
    guard isHeadComplete else {
      // To libcurl, a connection that is closed between header lines ends an answer without a body.
      return .failure(TransportError(.closed, "\(order.endpoint.description): closed in the middle of the headers"))
    }
    var status = 0
    _ = ccurl_response_code(handle, &status)
    return .success(HTTPResponse(status: status, headers: headers, body: received))
  }

  /// Takes the answer to the body's demand `number` and goes on sending.
  func supply(_ number: Int, _ answer: Result<[UInt8], TransportError>) {
    guard body?.supply(number, answer) == true, isPaused else { return }
    isPaused = false
    curl_easy_pause(handle, CURLPAUSE_CONT)
  }

  /// When to look at the limits again, if nothing happens until then.
  var nextLimit: ContinuousClock.Instant {
    let limits = order.request.limits
    let inactive = (lastActivity ?? .now) + limits.inactivity
    return min(inactive, order.deadline ?? inactive)
  }

  /// The error if a limit has passed at `now`.
  func overdue(_ now: ContinuousClock.Instant) -> TransportError? {
    let limits = order.request.limits
    if let deadline = order.deadline, now >= deadline { return order.overdue }
    if let lastActivity, now >= lastActivity + limits.inactivity {
      return TransportError(.timedOut, "\(order.endpoint.description): nothing moved for \(limits.inactivity)")
    }
    return nil
  }

  // MARK: Options

  private func set(_ option: CURLoption, _ value: String) { _ = ccurl_set_string(handle, option, value) }
  private func set(_ option: CURLoption, _ value: Int) { _ = ccurl_set_long(handle, option, value) }
  private func set(_ option: CURLoption, _ value: UnsafeMutableRawPointer?) {
    _ = ccurl_set_pointer(handle, option, value)
  }

  private func setMethodAndBody() {
    let method = order.request.method
    switch (method, order.body?.length) {
    case (.get, nil): set(CURLOPT_HTTPGET, 1)
    case (.head, nil): set(CURLOPT_NOBODY, 1)
    case (.delete, nil): set(CURLOPT_CUSTOMREQUEST, method.rawValue)
    default:
      // One way for all bodies: a POST of known length, under another name if need be.
      set(CURLOPT_POST, 1)
      if method != .post { set(CURLOPT_CUSTOMREQUEST, method.rawValue) }
      let length = order.body?.length ?? 0
      _ = ccurl_set_offset(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(length))
      if length > 64 << 10 { set(CURLOPT_UPLOAD_BUFFERSIZE, 256 << 10) }
      if let short { set(CURLOPT_POSTFIELDS, UnsafeMutableRawPointer(mutating: short.bytes.baseAddress)) }
    }
  }

  private func setHeaders() {
    // A name with nothing after the colon removes what libcurl would send by itself.
    var lines = ["Expect:"]
    if !order.request.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
      lines.append("Content-Type:" + (order.body.map { " " + $0.contentType } ?? ""))
    }
    // "Name;" is libcurl's way to say an empty value.
    lines += order.request.headers.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
    for line in lines { headerList = curl_slist_append(headerList, line) ?? headerList }
    set(CURLOPT_HTTPHEADER, headerList)
  }

  private func setCallbacks() {
    let context = Unmanaged.passUnretained(self).toOpaque()
    set(CURLOPT_WRITEDATA, context)
    _ = ccurl_set_transfer_function(handle, CURLOPT_WRITEFUNCTION) { bytes, _, count, context in
      guard let transfer = Transfer.from(context) else { return 0 }
      return transfer.receive(UnsafeRawBufferPointer(start: bytes, count: count))
    }
    set(CURLOPT_HEADERDATA, context)
    _ = ccurl_set_transfer_function(handle, CURLOPT_HEADERFUNCTION) { bytes, _, count, context in
      guard let transfer = Transfer.from(context) else { return 0 }
      return transfer.receiveHeader(UnsafeRawBufferPointer(start: bytes, count: count))
    }
    set(CURLOPT_PREREQDATA, context)
    _ = ccurl_set_prerequest_function(handle) { context, _, _, _, _ in
      Transfer.from(context)?.lastActivity = .now
      return CURL_PREREQFUNC_OK
    }
    guard body != nil else { return }
    set(CURLOPT_READDATA, context)
    _ = ccurl_set_transfer_function(handle, CURLOPT_READFUNCTION) { bytes, size, count, context in
      guard let transfer = Transfer.from(context) else { return Int(CURL_READFUNC_ABORT) }
      return transfer.send(UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
    }
    set(CURLOPT_SEEKDATA, context)
    _ = ccurl_set_seek_function(handle) { context, offset, _ in
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

  private func receiveHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
    lastActivity = .now
    headerBytes += bytes.count
    guard headerBytes <= 256 << 10 else {
      failure = TransportError(.responseTooLarge, "\(order.endpoint.description): the answer's headers do not end")
      return 0
    }
    if bytes.starts(with: "HTTP/".utf8) {
      // Each status line begins anew: what an interim answer (1xx) said is not the answer's.
      headers.removeAll()
      isHeadComplete = false
    } else if let colon = bytes.firstIndex(of: UInt8(ascii: ":")) {
      headers.append(HTTPHeader(bytes[..<colon].text, bytes[(colon + 1)...].trimmed.text))
    } else if bytes[...].trimmed.isEmpty {
      isHeadComplete = true
    }
    return bytes.count
  }

  private func send(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
    do throws(TransportError) {
      switch try body?.read(into: buffer) ?? .end {
      case .copied(let count):
        lastActivity = .now
        return count
      case .wait:
        isPaused = true
        return Int(CURL_READFUNC_PAUSE)
      case .end: return 0
      }
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
    // Bounded: by the line itself.
    Int(min(max((self / .milliseconds(1)).rounded(.up), 1), Double(Int32.max)))
  }
}

extension Slice<UnsafeRawBufferPointer> {
  /// Without blanks and line ends around it.
  fileprivate var trimmed: Self {
    let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d || $0 == 0x0a }
    var rest = drop(while: isBlank)
    while let last = rest.last, isBlank(last) { rest.removeLast() }
    return rest
  }

  fileprivate var text: String { String(decoding: self, as: UTF8.self) }
}
