import Configuration
import FoundationEssentials
import Support
import SystemPackage

/// The demo's folder: a share with a test distribution and a guest's disk, a pool, and the results.
struct DemoHome {
  /// Says that a folder is the demo's, so that a repeated one may empty it.
  private static let mark = ".worker-agent-demo"
  /// Bytes of the guest's disk, of which it uses the first 512.
  private static let diskSize = 4 << 20

  let path: FilePath

  var results: FilePath { path.appending("results") }
  /// Where the agent's own log goes.
  var log: FilePath { path.appending("worker.log") }

  /// Makes the folder anew.
  /// - Throws: `DemoError` for one that is somebody else's; `FileError`.
  init(_ path: FilePath) throws {
    self.path = path
    let mark = path.appending(DemoHome.mark)
    if Files.exists(path) {
      guard try Files.names(in: path).isEmpty || Files.exists(mark) else {
        throw DemoError("\(path) is not empty and not a demo's: give another one with --folder")
      }
      for name in try Files.names(in: path) { try Files.remove(path.appending(name)) }
    }
    for name in ["results", "openqa/pool", "openqa/share/factory/hdd"] {
      try Files.makeDirectory(path.appending(name))
    }
    try Files.replace(mark, with: [])
    let distribution = path.appending("openqa/share/tests/lab")
    for (name, content) in DemoHome.distribution {
      let file = distribution.appending(name)
      try Files.makeDirectory(file.removingLastComponent())
      try Files.replace(file, with: content)
    }
    let guest = PackageResources.guest_bin
    let disk = guest + [UInt8](repeating: 0, count: DemoHome.diskSize - guest.count)
    try Files.replace(path.appending("openqa/share/factory/hdd/lab.img"), with: disk)
  }

  private static let distribution: [(name: String, content: [UInt8])] = [
    ("main.pm", PackageResources.main_pm),
    ("tests/boot.pm", PackageResources.boot_pm),
    ("tests/keyboard.pm", PackageResources.keyboard_pm),
    ("tests/logs.pm", PackageResources.logs_pm),
    ("tests/poweroff.pm", PackageResources.poweroff_pm),
    ("needles/lab-ready.json", PackageResources.lab_ready_json),
    ("needles/lab-ready.png", PackageResources.lab_ready_png),
    ("needles/lab-not-there.json", PackageResources.lab_not_there_json),
    ("needles/lab-not-there.png", PackageResources.lab_not_there_png),
  ]

  /// The settings of the demo's job: the guest under emulation, so that it runs anywhere.
  static let job: [String: JSON] = [
    "DISTRI": "lab", "VERSION": "1", "FLAVOR": "demo", "ARCH": "x86_64", "MACHINE": "64bit", "TEST": "demo",
    "BACKEND": "qemu", "WORKER_CLASS": "demo", "QEMU": "x86_64", "QEMURAM": "64", "QEMUCPUS": "1", "QEMUCPU": "qemu64",
    "QEMU_NO_KVM": "1", "HDDSIZEGB": "1", "HDD_1": "lab.img", "BOOTFROM": "c",
    "LAB_TESTS": "boot,keyboard,logs,poweroff",
  ]
}

/// The demo cannot go on.
struct DemoError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
