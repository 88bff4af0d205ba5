extension Scenario {
  /// The run without a scenario file: a machine boots, is typed at, writes logs and powers off.
  static let basic = """
    {
      "settings": {
        "CDMODEL": "scsi-cd", "HDDMODEL": "virtio-blk", "NEEDLES_GIT_HASH": "UNKNOWN", "NICMAC": "52:54:00:12:34:56",
        "NICMODEL": "virtio-net", "NICTYPE": "user", "NICVLAN": "0", "NUMDISKS": 1, "TEST_GIT_HASH": "UNKNOWN",
        "VIRTIO_CONSOLE": 1, "WHEELS_DIR": "lab"
      },
      "modules": [
        {
          "name": "boot", "flags": {"fatal": 1, "milestone": 0}, "executionTime": 3,
          "steps": [
            {"number": 1}, {"screenshot": {"match": "lab-ready"}},
            {"number": 3}, {"screenshot": {"picture": "ready"}},
            {"text": "# wait_serial expected: \\"READY\\"\\n# Result:\\nREADY\\n", "title": "wait_serial"},
            {"text": "the guest is up\\nsecond line with äö (UTF-8)", "title": "booted"},
            {"number": 7}, {"screenshot": {"picture": "ready"}}
          ]
        },
        {
          "name": "keyboard", "executionTime": 10,
          "steps": [
            {"number": 2}, {"screenshot": {}},
            {"text": "# wait_serial expected: \\"hello\\"\\n# Result:\\nhello\\n", "title": "wait_serial"},
            {"number": 5}, {"screenshot": {}},
            {"number": 7}, {"screenshot": {"noise": 80000}}, {"screenshot": {"match": "lab-ready"}},
            {"screenshot": {"mismatch": "lab-not-there"}},
            {"text": "no match as expected", "title": "check_screen"}
          ]
        },
        {
          "name": "logs",
          "steps": [
            {"write": "ulogs/lab-small.txt", "content": "a small log\\n"},
            {"write": "ulogs/lab-empty.txt"},
            {"write": "ulogs/lab-bin.dat", "size": 70000},
            {"text": "wrote ulogs\\n", "title": "logs"}
          ]
        },
        {"name": "poweroff", "steps": [{"number": 2}, {"screenshot": {"result": "ok"}}]}
      ]
    }
    """
}
