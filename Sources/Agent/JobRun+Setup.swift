import CommandServerClient
import Configuration
import Engines
import Logging
import OpenQAProtocol
import ProcessTree
import Support
import Transport
import Upload

extension JobRun {
  /// What runs the test, or has run it.
  struct Backend: Sendable {
    /// What there is of its processes.
    enum Processes: Sendable {
      case toStart(Command)
      case running(SupervisedTree)
      /// Its supervisor is gone.
      case ended(SupervisedEnd)
      /// There is nothing left of it.
      case gone
    }

    var processes: Processes
    var commandServer: CommandServer
  }

  /// The job with the worker's settings laid over, and its backend: the one that an earlier process has left, or a new
  /// one. Nil if the job was stopped instead.
  func prepare(
    _ past: JobRecord, _ found: Supervisor.Finding, _ journal: JobJournal
  ) async -> (JobInfo, Backend?) {
    guard let job = past.prepared else {
      // Stopped before it had a backend.
      if past.reason != nil { return (past.grabbed, nil) }
      guard let prepared = await setUp(past.grabbed) else { return (past.grabbed, nil) }
      // From here on the backend may run.
      await journal.update {
        $0.prepared = prepared.job
        $0.startedAt = Boot.time
      }
      let processes = Backend.Processes.toStart(prepared.backend.command)
      return (prepared.job, Backend(processes: processes, commandServer: prepared.backend.commandServer))
    }
    let server = CommandServer(url: job.json["URL"]?.string ?? "", http: slot.http)
    let processes: Backend.Processes =
      switch found {
      case .running(let tree): .running(tree)
      case .ended(let end): .ended(end)
      // A newer supervisor is ended before a job is gone on with.
      case .none, .newer: .gone
      }
    return (job, Backend(processes: processes, commandServer: server))
  }

  /// Sets the job up, within its limit. Nil if the job was stopped instead.
  private func setUp(_ grabbed: JobInfo) async -> PreparedJob? {
    let waits = SetupWaits()
    let setup = JobSetup(slot: slot, webUI: webUI, workerID: await workerID(), waits: waits)
    let limit = JobLimits(grabbed, settings: slot.settings).setup
    return await withTaskGroup(of: PreparedJob?.self) { group in
      group.addTask {
        do {
          var job = grabbed
          let backend = try await setup.prepare(&job)
          return PreparedJob(job: job, backend: backend)
        } catch let failure as SetupFailure {
          slot.logger.error("Unable to setup job \(grabbed.id): \(failure.message)")
          if let fault = failure.fault { await noteFault(fault) }
          stop.open(with: .setupFailure(failure))
        } catch is CancellationError {
        } catch {
          slot.logger.error("Unable to setup job \(grabbed.id): \(error)")
          stop.open(with: .setupFailure(SetupFailure(.setup, "\(error)")))
        }
        return nil
      }
      group.addTask {
        if await !sleepsFor(limit) { return nil }
        stop.open(with: .timedOut(.setup))
        return nil
      }
      group.addTask {
        if await sleepsFor(StartLimit.longestSetup) { place?.leave() }
        return nil
      }
      group.addTask {
        var before: String?
        while await sleepsFor(JobRun.setupPeriod) {
          let wait = waits.text
          if let wait, wait != before { slot.logger.info("setup: \(wait)") }
          before = wait
          await post(.setup(workerID: await workerID(), waitingFor: wait), job: grabbed.id, tries: 1)
        }
        return nil
      }
      var prepared: PreparedJob?
      while prepared == nil, stop.value == nil, let result = await group.next() { prepared = result ?? prepared }
      group.cancelAll()
      return stop.value == nil ? prepared : nil
    }
  }
}

/// A job that is set up.
private struct PreparedJob: Sendable {
  /// With the worker's settings laid over.
  var job: JobInfo
  var backend: JobSetup.Backend
}

/// How long a job's parts may take.
struct JobLimits: Sendable, Hashable {
  var setup: Duration
  var execution: Duration

  /// MAX_SETUP_TIME and MAX_JOB_TIME × TIMEOUT_SCALE of a job, where the worker's settings come first. What is not positive
  /// counts as not set; what is too large is the longest time there is.
  init(_ job: JobInfo, settings: Settings) {
    func seconds(_ name: String, _ default: Double) -> Double {
      let text = settings.jobSettings[name]?.scalar ?? job.setting(name)
      guard let value = text?.leadingNumber, value > 0 else { return `default` }
      return value
    }
    setup = Duration(boundedSeconds: seconds("MAX_SETUP_TIME", 3600))
    execution = Duration(boundedSeconds: seconds("MAX_JOB_TIME", 7200) * seconds("TIMEOUT_SCALE", 1))
  }
}
