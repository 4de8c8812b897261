import Server
import TestSupport
import Testing

@testable import Insight

@Suite(.timeLimit(.minutes(2))) struct `Read routes` {
    @Test func `can be registered together`() async throws {
        try await ReadSide.with { side in
            var router = Router()
            side.routes.add(to: &router)
            #expect(text(InsightRoutes.health) == #"{"status":"ok"}"#)
        }
    }

    @Test func `give metrics that can be parsed, about the build and the process too`() async throws {
        try await ReadSide.with { side in
            let response = side.routes.metricsText()

            let text = text(response)
            #expect(response.contentType == "text/plain; version=0.0.4; charset=utf-8")
            #expect(PrometheusCheck.findings(text).isEmpty, "\(PrometheusCheck.findings(text))")
            #expect(text.contains(#"millrace_build_info{node="n\"1",version="1.2.3"} 1"#))
            #expect(text.contains("process_resident_memory_bytes 1024\n"))
            #expect(!text.contains("process_open_fds"))
            #expect(text.contains("gauge\nmillrace_http_buffered_bytes 17\n"))
        }
    }

    @Test func `say whether events can be taken, or why not`() {
        let ready = Readiness(reasons: [], database: "away").response
        #expect(ready.status == 200)
        #expect(text(ready) == #"{"status":"ready","database":"away"}"#)

        let unready = Readiness(reasons: ["draining"], database: "up").response
        #expect(unready.status == 503)
        #expect(text(unready) == #"{"status":"unready","database":"up","reasons":["draining"]}"#)
    }

    @Test func `serve pages without any other host or inline script`() throws {
        for page in StaticPage.all {
            let response = page.response(ifNoneMatch: nil)
            let content = text(response)
            #expect(response.status == 200 && !content.isEmpty, "\(page.path)")
            #expect(!content.contains(/(src|href)="(https?:)?\/\//), "\(page.path)")
            #expect(!content.contains(/<script>|<style|style="| on[a-z]+="/), "\(page.path)")
            #expect(
                response.fields.contains {
                    $0.0 == "Content-Security-Policy" && $0.1.hasPrefix("default-src 'self'")
                }
            )
            let tag = try #require(response.fields.first { $0.0 == "ETag" }?.1)
            #expect(page.response(ifNoneMatch: tag).status == 304)
            #expect(page.response(ifNoneMatch: "\"x\", W/\(tag)").status == 304)
            #expect(page.response(ifNoneMatch: "\"x\"").status == 200)
        }
    }
}
