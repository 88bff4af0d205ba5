import Agent
import Foundation
import LocalWebUI
import OpenQAProtocol
import ProcessTree
import Support
import SystemPackage
import TestSupport
import Testing

/// Backends in containers of a real podman, whose image is made of this host's own programs.
@Suite("Containers", .timeLimit(.minutes(3)))
struct ContainerTests {
  /// Gives `body` an image, which is gone after it. The test is cancelled with podman's words where podman does not work.
  private func withImage(_ bench: Workbench, _ body: (String) async throws -> Void) async throws {
    let name = "localhost/worker-agent-test:\(bench.instance)"
    do {
      try await shell(Self.building, name)
    } catch {
      await bench.web.stop()
      try Test.cancel("podman does not run containers here: \(error)")
    }
    let result: Result<Void, any Error>
    do { result = .success(try await body(name)) } catch { result = .failure(error) }
    try await shell("podman rmi -f \"$1\"", name)
    try result.get()
  }

  @discardableResult
  private func shell(_ script: String, _ arguments: String...) async throws -> String {
    let folder = try TemporaryFolder()
    let log = folder.path.appending("log")
    let command = Command(
      "/bin/sh", arguments: ["-ec", script, "sh"] + arguments, environment: ProcessInfo.processInfo.environment,
      workingDirectory: folder.path)
    let exit = try await Program.run(command, appendingTo: log)
    let text = String(decoding: try Files.read(log) ?? [], as: UTF8.self)
    guard exit.isSuccess else { throw ProcessError(text.trimmed) }
    return text
  }

  /// An image with a shell, and with stand-ins for what a repository's backend is made with and of.
  private static let building = #"""
    mkdir -p root/bin root/tmp root/proc root/dev root/sys
    for program in sh cat mkdir mktemp sleep; do
      file=$(readlink -f "$(command -v "$program")")
      cp "$file" "root/bin/$program"
      for library in $(ldd "$file" | grep -o '/[^ )]*'); do
        mkdir -p "root$(dirname "$library")"
        cp -L "$library" "root$library"
      done
    done
    for program in git cmake; do printf '#!/bin/sh\necho "%s $*"\n' $program > root/bin/$program; done
    cat > root/bin/perl <<'END'
    #!/bin/sh
    echo "perl $*"
    mkdir -p testresults
    echo '[{"name":"a","category":"t","flags":{},"script":"s"}]' > testresults/test_order.json
    echo '{"result":"ok","details":[]}' > testresults/result-a.json
    case $(cat vars.json) in *'"STARTED"'*) echo > "$OPENQA_SHAREDIR/started"; sleep 1000 ;; esac
    END
    chmod +x root/bin/*
    tar -C root -c . | podman import -q - "$1"
    trap 'podman rmi -f "$1" >/dev/null' EXIT
    podman run --rm --init --network=host "$1" /bin/sh -c true
    trap - EXIT
    """#

  private func schedule(_ bench: Workbench, _ image: String, _ more: [String: JSON] = [:]) async throws -> Int64 {
    let settings: [String: JSON] = [
      "ISOTOVIDEO": "", "OS_AUTOINST_CONTAINER_IMAGE": .string(image),
      "OS_AUTOINST_GIT_REPO": "https://git/os-autoinst",
    ]
    return try await bench.schedule(nil, settings.merging(more) { $1 })
  }

  @Test("a job runs in a container, and its results and what the container says arrive")
  func passes() async throws {
    let bench = try await Workbench()
    try await withImage(bench) { image in
      try await bench.run { _ in
        let job = try await bench.end(of: try await schedule(bench, image))
        #expect(job.result == "passed" && job.modules.map(\.name) == ["a"], "\(job.reason ?? "")")
        let log = try #require(try bench.arrived(job.id, "autoinst-log.txt"))
        #expect(log.contains("git clone --depth 1 -- https://git/os-autoinst /tmp/") && log.contains("/isotovideo -d"))
      }
    }
    #expect(try Files.names(in: bench.pool) == [".locked"], "what the container wrote can be removed")
  }

  @Test("cancelled in mid-job: the container is gone, and the slot takes the next job")
  func cancel() async throws {
    let bench = try await Workbench()
    let started = bench.share.appending("started")
    #expect(started.withPlatformString { mkfifo($0, 0o600) } == 0)
    try await withImage(bench) { image in
      try await bench.run { _ in
        let id = try await schedule(bench, image, ["STARTED": "1"])
        try await IOLane(name: "container").run { try FileDescriptor.open(started, .readOnly).close() }
        await bench.web.send(.cancel, for: id)
        let job = try await bench.end(of: id)
        #expect(job.result == "user_cancelled", "\(job.reason ?? "")")
        #expect(try await shell("podman ps -a -q --filter name=openqa-\(bench.instance)").isEmpty)
        let next = try await bench.end(of: try await schedule(bench, image))
        #expect(next.result == "passed", "\(next.reason ?? "")")
      }
    }
  }

  @Test("an image that is not there: the job's reason and log come of podman")
  func noImage() async throws {
    let bench = try await Workbench()
    try await withImage(bench) { image in
      try await bench.run { _ in
        let job = try await bench.end(of: try await schedule(bench, "\(image)-gone"))
        #expect(job.result == "incomplete" && job.reason?.hasPrefix("died: ") == true, "\(job.reason ?? "")")
        #expect(try bench.arrived(job.id, "autoinst-log.txt")?.contains("\(image)-gone") == true)
      }
    }
  }
}
