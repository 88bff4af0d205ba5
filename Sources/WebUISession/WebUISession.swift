import Configuration
package import Logging
package import OpenQAProtocol
import Support
package import Transport
package import WebUIClient

/// One slot's standing with one web UI (protocol §3): registers, keeps the WebSocket open, tells its status, passes on
/// what the web UI says. What is lost is made anew from the registration on, as long as ``run()`` runs.
package actor WebUISession {
  /// What happens to the session.
  package enum Event: Sendable, Hashable {
    /// Registered under this worker id, and connected.
    case connected(workerID: Int64)
    case message(WebUIMessage)
    /// The jobs of a message that could not be understood were rejected; or there were none in it.
    case malformed(String)
    /// The connection is gone, or could not be made; the next attempt follows.
    case lost
    /// The web UI will never take this worker; ``run()`` has ended.
    case disabled(reason: String)
  }

  /// How the session waits.
  package struct Timing: Sendable {
    /// Between attempts to register.
    package var connectInterval: Duration
    /// Between two statuses, at random.
    package var statusInterval: ClosedRange<Duration>
    /// How long a registration or the WebSocket's upgrade may take: the next try may find a web UI that answers.
    package var answerLimit: Duration
    package var clock: any Clock<Duration> & Sendable
    /// A random number from 0 to 1.
    package var random: @Sendable () -> Double

    package init(
      connectInterval: Duration, statusInterval: ClosedRange<Duration>, answerLimit: Duration = .seconds(60),
      clock: any Clock<Duration> & Sendable = DeadlineClock(),
      random: @escaping @Sendable () -> Double = { Double.random(in: 0...1) }
    ) {
      self.connectInterval = connectInterval
      self.statusInterval = statusInterval
      self.answerLimit = answerLimit
      self.clock = clock
      self.random = random
    }
  }

  /// Redirects of one WebSocket request that are followed.
  private static let maximumRedirects = 3
  /// A connection over which nothing has come for so many statuses in a row is dead.
  private static let maximumSilence = 3
  /// The longest time that a message may take to be sent.
  private static let sendLimit = Duration.seconds(10)
  /// The longest wait that a web UI can ask for.
  private static let maximumWait = Duration.seconds(3600)

  /// Takes an event, and returns when the next one may come.
  package typealias Listener = @Sendable (Event) async -> Void
  private let webSockets: WebSocketClient
  private var registration: WorkerRegistration
  /// As of the last registration.
  private var toldRegistration: WorkerRegistration?
  private let timing: Timing
  private let logger: Logger

  /// REST calls go where the web UI has last said that it is.
  package let client: WebUIClient
  /// The slot's number at this web UI, as of the last registration.
  package private(set) var workerID: Int64?
  /// From the web UI's port to its live handler's.
  package private(set) var servicePortDelta = 2
  /// The last failed registration or lost connection in words, for a job's reason.
  package private(set) var lastError: String?
  private var connection: WebSocketConnection?
  /// Where the WebSocket is, or was looked for last.
  private var webSocketURL = ""
  private var status = WorkerStatus.free
  /// Jobs that come after the current one.
  private var pending: [Int64] = []
  /// Those who wait for the end of the next attempt to connect.
  private var waiting: [Latch<Void>] = []
  /// The web UI has refused this worker for good, or nobody runs the session any more.
  private var isOver = false
  /// Rejections that wait for a connection.
  private var rejections: [WorkerMessage] = []
  private var isLocated = false
  /// The slot has said farewell: what ends now ends as it should.
  private var isQuitting = false
  /// Jobs that are over, and whose end the web UI has not heard of.
  private var released: Set<Int64> = []
  /// The jobs that the last registration named.
  private var named: Set<Int64> = []
  /// Opened by the web UI's answer to a status.
  private var statusAnswer = Latch<Void>()
  /// Why this side ends the connection.
  private var ending: Ending?

  /// Why this side ends a connection.
  private enum Ending: Hashable {
    /// Nothing is heard over it.
    case silence(Duration)
    /// The web UI wants another version of the worker.
    case incompatible
    /// A job's end has to be told by a registration.
    case release
    /// Something about the worker has changed that only a registration tells.
    case renewal
  }

  package init(
    _ client: WebUIClient, webSockets: WebSocketClient, registration: WorkerRegistration, timing: Timing, logger: Logger
  ) {
    self.client = client
    self.webSockets = webSockets
    self.registration = registration
    self.timing = timing
    self.logger = logger
  }

  /// Lives until its task is cancelled or the web UI refuses this worker for good.
  ///
  /// Nothing piles up here: while `listener` does not return, messages stay in the connection's inbox, and a web UI that
  /// fills that is hung up on; the registration that follows tells it what this worker is at.
  package func run(_ listener: Listener) async {
    defer {
      isOver = true
      attemptEnded()
    }
    while !Task.isCancelled, !isQuitting {
      var wait = timing.connectInterval
      do {
        try await register()
        try await converse(listener)
        if ending == .incompatible {
          return await disable("it needs another version of the worker: upgrade the older one", listener)
        }
      } catch let error as WebUIError {
        // It may be elsewhere by now.
        isLocated = false
        lastError = "Failed to register at \(client.address) - \(error)"
        switch RegistrationVerdict(error) {
        case .retry:
          wait = self.wait(asked: error.retryAfter)
          logger.warning("Failed to register at \(client.address): \(error.advice) - trying again in \(wait)")
        case .disabled(let reason): return await disable(reason, listener)
        }
      } catch let refusal as WebSocketUpgradeRefused {
        let now = client.now()
        wait = self.wait(asked: refusal.header("Retry-After").flatMap { HTTPDate.wait(retryAfter: $0, now: now) })
        lastError = "Unable to upgrade to ws connection via \(webSocketURL): \(refusal.status) response"
        let clocks = ClockDifference(date: refusal.header("Date"), sent: now, received: now)
        logger.warning("\(lastError ?? "")\(clocks.map { " - \($0)" } ?? "") - trying again in \(wait)")
      } catch let error as TransportError {
        lastError = "Websocket connection to \(webSocketURL) failed: \(error)"
        logger.warning("\(lastError ?? "") - trying again in \(wait)")
      } catch let error as ProtocolError {
        isLocated = false
        lastError = "Failed to register at \(client.address) - \(error)"
        logger.warning("Failed to register at \(client.address): \(error) - trying again in \(wait)")
      } catch {
        return
      }
      attemptEnded()
      await listener(.lost)
      do { try await timing.clock.sleep(for: wait) } catch { return }
    }
  }

  private func disable(_ reason: String, _ listener: Listener) async {
    logger.error("Failed to register at \(client.address), and not trying again: \(reason)")
    await listener(.disabled(reason: reason))
  }

  /// How long to wait for the next attempt when the web UI asks for a wait, which may be none or one of years.
  private func wait(asked: Duration?) -> Duration {
    guard let asked else { return timing.connectInterval }
    return min(max(asked, min(timing.connectInterval, .seconds(1))), WebUISession.maximumWait)
  }

  // MARK: What the slot says

  /// Says what the slot does from now on.
  /// - Parameter pending: the jobs of this web UI that come after the current one.
  package func update(status: WorkerStatus, pending: [Int64] = []) {
    self.status = status
    self.pending = pending
  }

  /// Sends the current status now rather than when its time comes.
  package func sendStatus() async { _ = await send(.status(status, pending: pending)) }

  /// Takes a job.
  /// - Parameter attempts: how often that is tried; each time without a connection, the next attempt to make one is
  ///   waited for.
  /// - Returns: whether the web UI was told.
  package func accept(job: Int64, attempts: Int = 1) async -> Bool {
    for remaining in stride(from: attempts - 1, through: 0, by: -1) {
      if await send(.accepted(job: job)) { return true }
      guard remaining > 0, !isOver else { break }
      logger.warning("\(client.address) cannot be told that job \(job) is accepted (remaining attempts: \(remaining))")
      let attempt = Latch<Void>()
      waiting.append(attempt)
      do { try await attempt.wait() } catch { break }
    }
    return false
  }

  /// Does not take jobs. Without a connection the web UI is told when there is one again.
  package func reject(jobs: [Int64], reason: String) async {
    let message = WorkerMessage.rejected(jobs: jobs, reason: reason)
    if await !send(message) { rejections.append(message) }
  }

  /// Lets the web UI learn from a new registration that a job is over, when it could not be told in any other way.
  package func release(job: Int64) async {
    released.insert(job)
    guard let connection else { return }
    ending = .release
    await connection.close()
  }

  /// Tells the web UI by a new registration what has changed about the worker.
  package func renew(_ registration: WorkerRegistration) async {
    self.registration = registration
    guard let connection else { return }
    ending = .renewal
    await connection.close()
  }

  /// Tells the web UI that the slot goes offline.
  /// - Parameter limit: how long that may take.
  package func quit(within limit: Duration = .seconds(10)) async {
    isQuitting = true
    let connection = connection
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        _ = await self.send(.quit)
        await connection?.close(code: 1000, reason: "")
      }
      group.addTask { try? await DeadlineClock().sleep(for: limit) }
      await group.next()
      group.cancelAll()
    }
  }

  /// How many connections there have been.
  package private(set) var connections = 0
  /// Whether there is no connection now, and may be one again.
  package var isAway: Bool { connection == nil && !isOver }

  /// Waits until there is a connection, at most until none is to be expected any more.
  /// - Returns: whether there is one.
  /// - Throws: `CancellationError`.
  package func comesBack() async throws -> Bool {
    while isAway {
      let attempt = Latch<Void>()
      waiting.append(attempt)
      try await attempt.wait()
    }
    return !isOver
  }

  private func send(_ message: WorkerMessage) async -> Bool {
    guard let connection else { return false }
    let (type, address) = (message.json["type"]?.scalar ?? "", client.address)
    return await withTaskGroup(of: Bool.self) { [logger] group in
      group.addTask {
        do {
          try await connection.send(message.json.text)
          return true
        } catch {
          logger.debug("cannot send \(type) to \(address): \(error)")
          return false
        }
      }
      // A web UI that takes nothing from its socket any more is left to those who look whether anything comes of it.
      group.addTask {
        try? await DeadlineClock().sleep(for: WebUISession.sendLimit)
        return false
      }
      defer { group.cancelAll() }
      return await group.next() ?? false
    }
  }

  private func attemptEnded() {
    for attempt in waiting { attempt.open(with: ()) }
    waiting = []
  }

  // MARK: Registration

  private func register() async throws {
    var clocks: ClockDifference?
    if !isLocated { clocks = try await client.locate(within: timing.answerLimit) }
    isLocated = true
    logger.info("Registering with openQA \(client.address)")
    // Those of another web UI would mean others here.
    let jobs = currentJobs.filter { !released.contains($0) }
    named = Set(jobs)
    toldRegistration = registration
    let parameters = registration.parameters(jobs: jobs)
    var call = WebUIClient.Call(.post, "workers")
    call.query = parameters
    call.body = .bytes(registration.body(jobs: jobs).bytes, contentType: "application/json")
    call.tries = 1
    call.limits.total = timing.answerLimit
    let answer = try WorkerRegistration.Answer(await client.send(call))
    workerID = answer.workerID
    servicePortDelta = answer.servicePortDelta
    if let clocks { logger.warning("\(client.address): \(clocks)") }
  }

  /// The jobs of this web UI that the slot has in hand.
  private var currentJobs: [Int64] {
    guard case .working(let job, client.address.entry) = status else { return pending }
    return [job.id] + pending
  }

  private func connect(workerID: Int64) async throws -> WebSocketConnection {
    webSocketURL = "\(client.origin)/api/v1/ws/\(workerID)"
    for remaining in stride(from: WebUISession.maximumRedirects, through: 0, by: -1) {
      let request = WebSocketRequest(
        webSocketURL, headers: client.signer.headers(target: WebUIClient.target(of: webSocketURL)),
        connectTimeout: min(timing.answerLimit, client.inactivity))
      do {
        return try await webSockets.connect(request)
      } catch let refusal as WebSocketUpgradeRefused {
        guard remaining > 0, (300..<400).contains(refusal.status), let location = refusal.header("Location") else {
          throw refusal
        }
        webSocketURL = WebUIClient.absolute(location, from: webSocketURL)
        logger.debug("the WebSocket is redirected to \(webSocketURL)")
      }
    }
    throw TransportError(.closed, "too many redirects")
  }

  // MARK: The conversation

  private func converse(_ listener: Listener) async throws {
    guard let workerID else { return }
    let connection = try await connect(workerID: workerID)
    self.connection = connection
    connections += 1
    // Meanwhile one of the jobs may have ended, or something else may have changed.
    ending = !named.isDisjoint(with: released) ? .release : toldRegistration != registration ? .renewal : nil
    logger.info(
      "Registered and connected via websockets with openQA host \(client.address) and worker ID \(workerID)")
    attemptEnded()
    await listener(.connected(workerID: workerID))
    await withTaskGroup(of: Void.self) { group in
      if ending == nil { group.addTask { await self.tellStatus(over: connection) } } else { await connection.close() }
      for await text in connection.messages { await take(text, listener) }
      group.cancelAll()
    }
    await connection.close()
    self.connection = nil
    let closure = await connection.closure()
    var end = "Websocket connection to \(webSocketURL) "
    switch ending {
    case .silence(let time): end += "given up: nothing was received for \(time.components.seconds) s"
    case .release: end += "closed: a new registration tells that a job is over"
    case .renewal: end += "closed: a new registration tells what has changed"
    case .incompatible: return
    case nil: end += "finished by remote side with code \(closure.summary)"
    }
    lastError = end
    if !Task.isCancelled, !isQuitting { logger.warning("\(end)") }
  }

  /// Tells what waits and then the status, again and again as long as anything at all is heard from the web UI.
  private func tellStatus(over connection: WebSocketConnection) async {
    let waiting = rejections
    rejections = []
    for message in waiting where await !send(message) { rejections.append(message) }
    var silence = 0
    while !Task.isCancelled, silence < WebUISession.maximumSilence {
      let now = ContinuousClock.now
      statusAnswer = Latch()
      await sendStatus()
      guard await waitsForPeriod() else { return }
      silence = await connection.lastReceived < now ? silence + 1 : 0
    }
    guard !Task.isCancelled else { return }
    ending = .silence(await connection.lastReceived.duration(to: .now))
    await connection.close()
  }

  /// Waits a status period, which begins anew with each of the web UI's answers; false if cancelled.
  private func waitsForPeriod() async -> Bool {
    let (low, high) = (timing.statusInterval.lowerBound, timing.statusInterval.upperBound)
    var isOver = false
    while !isOver, !Task.isCancelled {
      let (answer, clock, period) = (statusAnswer, timing.clock, low + (high - low) * timing.random())
      isOver = await withTaskGroup(of: Bool.self) { group in
        group.addTask { (try? await clock.sleep(for: period)) != nil }
        group.addTask { (try? await answer.wait()) == nil }
        defer { group.cancelAll() }
        return await group.next() ?? true
      }
      if answer.value != nil { statusAnswer = Latch() }
    }
    return !Task.isCancelled
  }

  private func take(_ text: String, _ listener: Listener) async {
    do {
      let message = try WebUIMessage(parsing: text)
      switch message {
      case .info:
        statusAnswer.open(with: ())
        await listener(.message(message))
      case .answer: break
      case .incompatible:
        ending = .incompatible
        await connection?.close()
      default: await listener(.message(message))
      }
    } catch {
      logger.warning("Ignoring a message from \(client.address): \(error): \(text.prefix(300))")
      if !error.jobs.isEmpty { await reject(jobs: error.jobs, reason: error.rejection) }
      await listener(.malformed(error.description))
    }
  }
}

extension WebSocketClose {
  /// `1008, only one connection per worker allowed`, or what went wrong.
  fileprivate var summary: String {
    let text = reason.isEmpty ? error?.message ?? "no reason" : reason
    return "\(code.map(String.init) ?? "1006"), \(text)"
  }
}
