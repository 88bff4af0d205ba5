import LocalWebUI
import OpenQAProtocol
import Support
import Testing

@Suite("The embedded web UI's page in a browser", .timeLimit(.minutes(2)))
struct PageTests {
  @Test(
    "a job as it runs, and then its result",
    .enabled(if: Browser.isInstalled, "chromium is not installed"))
  func page() async throws {
    let bench = try await Workbench()
    try await bench.run { _ in
      let id = try await bench.schedule(
        """
        {"modules":[{"name":"first","steps":[{"log":"a line <b>of the log</b>"},{"screenshot":{"picture":"same"}},
        {"screenshot":{"picture":"same"}}]},
        {"name":"second","steps":[{"repeat":3000,"steps":[{"screenshot":{"picture":"x"}},{"wait":20}]}]}]}
        """)
      let browser = try await Browser("\(bench.web.url)/?job=\(id)")
      let running = try await browser.document(
        when: """
          document.body.innerText.includes('second: running') && at('log').textContent.includes('of the log')
          && at('screen').naturalWidth > 0
          """)
      #expect(running.contains("first: passed"))
      #expect(running.contains("a line &lt;b&gt;of the log&lt;/b&gt;"), "as text")
      await bench.web.send(.cancel, for: id)
      let ended = try await browser.document(
        when: """
          at('state').textContent === 'user_cancelled' && document.images.length > 2
          && [...document.querySelectorAll('figure img')].every(image => image.naturalWidth > 0)
          """)
      #expect(ended.contains("first-1.png") && ended.contains("first-2.png"), "which are one image")
      #expect(ended.contains("href=\"/files/\(id)/autoinst-log.txt\""))
      try await browser.close()
    }
  }
}
