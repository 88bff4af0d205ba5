import Glibc
import Support
import SystemPackage

/// A module's results so far.
struct ModuleRun {
  let module: Module?
  /// The number of the last result file.
  var number = 0
  var details: [JSON] = []
}

/// The files that the real program leaves in its working directory.
struct Pool: Sendable {
  /// Makes this run's pictures differ from other runs'.
  let seed: String

  private static let machineFiles = ["backend.run", "qemu.pid"]

  /// What is there before the command server.
  func begin() throws {
    for directory in ["command-server-tmp", "qemuscreenshot", "raid", "testresults/.thumbs", "testresults/ulogs"] {
      try Files.makeDirectory(FilePath(directory))
    }
    for name in ["os-autoinst.pid", "backend.run"] { try write(name, Array("\(getpid())\n".utf8)) }
  }

  /// What comes with the virtual machine.
  func startMachine() throws {
    try write("qemu.pid", Array("\(getpid())\n".utf8))
    try write("video_time.vtt", Array("WEBVTT\n".utf8))
    try write("serial0", Array("READY\nhello\n".utf8))
    try write("qmp_socket.log", Array("{\"QMP\": {}}\n".utf8))
    for name in ["virtio_console.log", "virtio_console1.log"] { try write(name, []) }
    for name in ["raid/hd0", "raid/cd0-overlay0", "video.ogv"] { try write(name, bytes(.size(4096))) }
  }

  /// What changes when it is gone.
  func stopMachine() throws {
    for name in Self.machineFiles { try Files.remove(FilePath(name)) }
    for name in try Files.names(in: "qemuscreenshot") { try Files.remove(FilePath("qemuscreenshot").appending(name)) }
    try write("qemu_state.json", ["blockdev_conf": [:], "controller_conf": [:], "snapshot_conf": ["snapshots": []]])
  }

  /// Why the program ends, for whoever started it.
  func writeState(component: String, message: String, result: String?) throws {
    var state: JSON = ["component": .string(component), "msg": .string(message)]
    if let result { state["result"] = .string(result) }
    try write("base_state.json", state)
  }

  /// Writes a JSON file, in one step as the real program does.
  func write(_ path: String, _ json: JSON) throws { try write(path, json.bytes + [10], isAtomic: true) }

  func write(_ path: String, _ bytes: [UInt8], appends: Bool = false, isAtomic: Bool = false) throws {
    let path = FilePath(path)
    let directory = path.removingLastComponent()
    if !directory.isEmpty { try Files.makeDirectory(directory) }
    if isAtomic { return try Files.replace(path, with: bytes) }
    if !appends { try Files.remove(path) }
    try Files.append(bytes, to: path)
  }

  func bytes(_ content: Step.Content) -> [UInt8] {
    switch content {
    case .text(let text): return Array(text.utf8)
    case .size(let size):
      var random = SplitMix(seed: Digest.md5(seed.utf8))
      var bytes: [UInt8] = []
      bytes.reserveCapacity(size + 8)
      while bytes.count < size { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
      return Array(bytes.prefix(size))
    }
  }

  /// Takes a screenshot: the picture, its thumbnail, the detail; the live picture if someone watches.
  func take(_ shot: Step.Shot, _ run: inout ModuleRun) throws {
    run.number += 1
    let unique = "\(run.module?.name ?? "live")-\(run.number)"
    let pictureSeed = "\(seed) \(shot.picture ?? unique)"
    let png = Picture.png(width: shot.width, height: shot.height, noise: shot.noise, seed: pictureSeed)
    if Files.exists("live_log") { try show(png) }
    guard run.module != nil else { return }
    let name = "\(unique).png"
    try write("testresults/\(name)", png)
    if shot.hasThumbnail {
      try write("testresults/.thumbs/\(name)", Picture.png(width: 60, height: 45, seed: pictureSeed))
    }
    var detail: JSON = .object(shot.extra)
    detail["screenshot"] = .string(name)
    detail["result"] = .string(shot.result)
    detail["frametime"] = .array([0, 4].map { .string(Self.seconds(run.details.count * 4 + $0)) })
    run.details.append(detail)
  }

  func take(_ text: String, _ title: String, _ result: String, _ extra: [String: JSON], _ run: inout ModuleRun) throws {
    guard let module = run.module else { throw ScenarioError("a text result belongs into a module") }
    run.number += 1
    let name = "\(module.name)-\(run.number).txt"
    try write("testresults/\(name)", Array(text.utf8))
    var detail: JSON = .object(extra)
    detail["text"] = .string(name)
    detail["title"] = .string(title)
    detail["result"] = .string(result)
    run.details.append(detail)
  }

  private static func seconds(_ hundredths: Int) -> String {
    "\(hundredths / 100).\(String(hundredths % 100 + 100).dropFirst())"
  }

  private func show(_ png: [UInt8]) throws {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let name = "\(now.tv_sec).\(String(1_000_000 + now.tv_nsec / 1000).dropFirst()).png"
    try write("qemuscreenshot/\(name)", png)
    let link: FilePath = "qemuscreenshot/last.png"
    try Files.remove(link)
    try Files.symbolicLink(link, to: FilePath(name))
  }
}
