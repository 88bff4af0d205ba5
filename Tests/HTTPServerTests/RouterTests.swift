import HTTPServer
import Testing

@Suite(.timeLimit(.minutes(1)))
struct RouterTests {
  @Test func picksByMethodAndPath() async throws {
    var router = Router()
    router.on("GET", "/") { _, _ in .text("root") }
    router.on("GET", "/jobs/:id") { _, captures in .text("job \(captures["id"] ?? "")") }
    router.on("POST", "/jobs/:id/:what") { _, captures in .text("\(captures.sorted { $0.key < $1.key })") }
    router.on("GET", "/files/*path") { _, captures in .text("file \(captures["path"] ?? "")") }
    router.on("DELETE", "/jobs/:id") { _, _ in .text("deleted") }
    try await WebServer.with(handler: router.respond) { server in
      try await RawClient.connect(to: server.port) { client in
        for (request, status, body) in [
          ("GET /", "200", "root"), ("GET /jobs/a%2Fb?x=1", "200", "job a/b"), ("GET /jobs/", "404", "not found\n"),
          ("POST /jobs/1/x", "200", #"[(key: "id", value: "1"), (key: "what", value: "x")]"#),
          ("DELETE /jobs/1", "200", "deleted"), ("PUT /jobs/1", "405", "method not allowed\n"),
          ("GET /files/a/b%20c", "200", "file a/b c"), ("GET /jobs/1/x/y", "404", "not found\n"),
          ("GET /nothing", "404", "not found\n"),
        ] {
          try await client.send("\(request) HTTP/1.1\r\nHost: x\r\n\r\n")
          let answer = try await client.response()
          #expect(answer.head.hasPrefix("HTTP/1.1 \(status) "), "\(request)")
          #expect(answer.body == body, "\(request)")
          if status == "405" { #expect(answer.head.contains("Allow: GET, DELETE\r\n")) }
        }
      }
    }
  }
}
