import OpenQAProtocol
import Support
import Testing

@Suite("LiveStatus")
struct LiveStatusTests {
  private var status: LiveStatus {
    LiveStatus(workerID: 3, commandServerURL: "http://localhost:20003/T", workerHostname: "127.0.0.1")
  }

  @Test("every byte is the code point of its number")
  func bytes() throws {
    var status = status
    let bytes = Array(UInt8.min...UInt8.max)
    status.logs = [.serial: LiveStatus.Piece(offset: 7, bytes: bytes)]
    let json = try #require(JSON(parsing: status.body)["status"])
    let text = try #require(json["serial_log"]?["data"]?.string)
    #expect(text.unicodeScalars.map { $0.value } == bytes.map(UInt32.init))
    #expect(json["serial_log"]?["offset"] == 7)
    for missing in ["log", "serial_terminal", "serial_terminal_user"] { #expect(json[missing] == [:]) }
    #expect(json["screen"] == nil && json["test_order"] == nil && json["result"] == nil)
  }

  @Test("a screen goes as base64, and says nothing of logs")
  func screen() throws {
    var status = status
    status.screen = LiveStatus.Screen(name: "1.2.png", png: [1, 2, 255])
    status.pauseReason = "reached module x"
    #expect(
      try JSON(parsing: status.body) == [
        "status": [
          "worker_id": 3, "cmd_srv_url": "http://localhost:20003/T", "worker_hostname": "127.0.0.1",
          "test_execution_paused": "reached module x", "screen": ["name": "1.2.png", "png": "AQL/"],
        ]
      ])
  }

  @Test("progress")
  func progress() {
    var progress = UploadProgress()
    let none: JSON = [
      "upload_up_to": nil, "upload_up_to_current_module": nil, "outstanding_images": 0, "outstanding_files": 0,
    ]
    #expect(progress.json == none)
    (progress.upTo, progress.isUpToCurrent, progress.outstandingFiles) = ("keyboard", true, 2)
    #expect(
      progress.json == [
        "upload_up_to": "keyboard", "upload_up_to_current_module": 1, "outstanding_images": 0, "outstanding_files": 2,
      ])
  }
}
