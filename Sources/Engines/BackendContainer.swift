import ProcessTree
import Support
import SystemPackage

/// A backend in a container (protocol §5, "Backend"): podman runs the image OS_AUTOINST_CONTAINER_IMAGE, in which the
/// branch OS_AUTOINST_GIT_BRANCH of the repository OS_AUTOINST_GIT_REPO is checked out, built and started.
///
/// The host's network is the container's, since the agent and the web UI talk to the backend's ports; folders have the
/// same paths inside as outside, since settings and links in the pool name them.
struct BackendContainer {
  let folders: Isotovideo.Folders
  /// The environment of podman on the host.
  let environment: [String: String]
  /// The variables of the backend in the container.
  let inside: [String: String]

  /// Runs with the repository, the branch and the pool as arguments. `exec` lets the backend have the signals.
  private static let script = """
    set -e
    code=$(mktemp -d)
    git clone --depth 1 ${2:+--branch="$2"} -- "$1" "$code"
    cmake -S "$code" -B "$code/build"
    cmake --build "$code/build" --target symlinks
    cd "$3"
    exec perl "$code/isotovideo" -d
    """

  /// The command; one that fails and says why where the image or the repository is missing.
  func command(for variables: JobVariables) -> Command {
    guard let repository = variables["OS_AUTOINST_GIT_REPO"] else {
      return failure("OS_AUTOINST_CONTAINER_IMAGE is set without OS_AUTOINST_GIT_REPO: set both, or ISOTOVIDEO")
    }
    guard let image = variables["OS_AUTOINST_CONTAINER_IMAGE"] else {
      return failure("OS_AUTOINST_GIT_REPO is set without OS_AUTOINST_CONTAINER_IMAGE: set both, or ISOTOVIDEO")
    }
    guard !image.hasPrefix("-") else { return failure("OS_AUTOINST_CONTAINER_IMAGE: '\(image.quotable)' is no image") }
    var arguments = ["run", "--rm", "--init", "--network=host", "--security-opt=label=disable"]
    // What a killed podman left behind would keep the slot's ports.
    arguments += ["--replace", "--name=openqa-\(variables["WORKER_INSTANCE"] ?? "0")"]
    if Files.exists("/dev/kvm") { arguments.append("--device=/dev/kvm") }
    for folder in mounted { arguments.append("--volume=\(folder):\(folder)") }
    // What the agent keeps there is none of the test's business: what it reads of it at its start, it acts on.
    arguments.append("--tmpfs=\(Pool.stateFolder(in: folders.pool)):ro,notmpcopyup,size=4k,mode=0")
    for (name, value) in inside.sorted(by: { $0.key < $1.key }) { arguments.append("--env=\(name)=\(value)") }
    arguments += ["--workdir=\(folders.pool)", image, "/bin/sh", "-c", BackendContainer.script, "isotovideo"]
    arguments += [repository, variables["OS_AUTOINST_GIT_BRANCH"] ?? "", folders.pool.string]
    var environment = environment
    // podman itself must not put its own files where they are lost with the job.
    environment["TMPDIR"] = nil
    return Command("podman", arguments: arguments, environment: environment, workingDirectory: folders.pool)
  }

  /// Each folder but those that come with another one.
  private var mounted: [FilePath] {
    // A host with a cache need not have a share.
    let share = folders.cache == nil || Files.exists(folders.share) ? folders.share : nil
    let all = [folders.pool, share, folders.tests, folders.cache].compactMap { $0 }
    return all.enumerated().filter { index, folder in
      !all.enumerated().contains { other, base in
        other != index && folder.starts(with: base) && (folder != base || other < index)
      }
    }.map(\.element)
  }

  private func failure(_ message: String) -> Command {
    Command(
      "/bin/sh", arguments: ["-c", #"printf '%s\n' "$1" >&2; exit 1"#, "sh", message], environment: environment,
      workingDirectory: folders.pool)
  }
}
