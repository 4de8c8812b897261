import TestSupport
import Testing

@testable import millrace

private func answer(_ status: Int, _ body: String, _ fields: [HTTPResponse.Field] = []) -> HTTPResponse {
    HTTPResponse(status: status, fields: fields, body: Array(body.utf8))
}

private func totals(_ received: Int, _ stored: Int, _ duplicates: Int, _ rejected: Int) -> String {
    #"{"received":\#(received),"stored":\#(stored),"duplicates":\#(duplicates),"#
        + #""rejected":\#(rejected),"x":[1]}"#
}

@Suite struct `What an answer means for its chunk` {
    @Test func `it is done when the counts add up to what was sent`() {
        for status in [200, 202, 422] {
            guard case .done(let done) = SendVerdict(answer(status, totals(6, 1, 2, 3)), events: 6) else {
                Issue.record("\(status) is done")
                continue
            }
            #expect([done.stored, done.duplicates, done.rejected] == [1, 2, 3])
        }
    }

    @Test func `it is refused when they do not, or when nothing would change`() {
        for response in [
            answer(200, totals(5, 5, 0, 0)), answer(200, totals(6, 5, 0, 0)),
            answer(200, totals(6, 7, -1, 0)),
            answer(200, "hello"), answer(200, ""), answer(422, #"{"title":"no"}"#), answer(400, ""),
            answer(401, ""),
            answer(404, ""), answer(301, ""), answer(501, ""), answer(505, ""),
        ] {
            guard case .refused = SendVerdict(response, events: 6) else {
                Issue.record(
                    "\(response.status) \(String(decoding: response.body, as: UTF8.self)) is refused"
                )
                continue
            }
        }
        let problem = answer(403, #"{"title":"Forbidden","detail":"The key may not write."}"#)
        #expect(
            SendVerdict(problem, events: 1)
                == .refused(reason: "status 403: Forbidden: The key may not write.")
        )
    }

    @Test func `it is too large when something on the way says so`() {
        #expect(SendVerdict(answer(413, ""), events: 6) == .tooLarge(reason: "status 413"))
    }

    @Test func `it counts what is in the server's spool as stored, and says so`() {
        let body = totals(6, 3, 2, 1).dropLast() + #","durability":"spooled"}"#
        guard case .done(let done) = SendVerdict(answer(202, String(body)), events: 6) else {
            Issue.record("202 is done")
            return
        }
        var sum = SendTotals(read: 6)
        sum.add(done)
        #expect(sum.isComplete)
        #expect(sum.summary(after: .zero).contains("6 events: 3 stored (3 in the server's spool), 2 dup"))
    }

    @Test func `it is sent again after trouble that passes, not before the server wants it`() {
        for status in [408, 429, 500, 502, 503, 504] {
            let field = HTTPResponse.Field(name: "retry-after", value: "7")
            #expect(
                SendVerdict(answer(status, "", [field]), events: 1)
                    == .again(reason: "status \(status)", retryAfter: .seconds(7))
            )
        }
        let date = HTTPResponse.Field(name: "retry-after", value: "Fri, 02 Jan 2026 03:04:05 GMT")
        #expect(
            SendVerdict(answer(503, "", [date]), events: 1) == .again(reason: "status 503", retryAfter: nil)
        )
    }

    @Test func `the rejected are listed with their place`() {
        let body = """
            {"received":2,"stored":1,"duplicates":0,"rejected":1,"errors":[
            {"index":1,"id":"e","code":"invalid_time","pointer":"/time","detail":"d"},
            {"index":2,"code":"x"},7]}
            """
        guard case .done(let done) = SendVerdict(answer(200, body), events: 2) else {
            Issue.record("it is done")
            return
        }
        #expect(
            done.refusals == [.init(index: 1, id: "e", code: "invalid_time", pointer: "/time", detail: "d")]
        )
    }
}

@Suite struct `The pauses between attempts` {
    @Test func `double up to a limit, cut by up to half, and end`() {
        for seed in UInt64(1)...20 {
            var generator = SplitMix(seed: seed)
            var retry = SendRetry(retriesMax: 12)
            var longest = SendRetry.pauseMin
            for _ in 0..<12 {
                guard let pause = retry.pause(retryAfter: nil, using: &generator) else {
                    Issue.record("there are 12 retries, seed \(seed)")
                    return
                }
                #expect(pause <= longest && pause >= longest / 2, "seed \(seed)")
                longest = min(longest * 2, SendRetry.pauseMax)
            }
            #expect(retry.pause(retryAfter: nil, using: &generator) == nil, "seed \(seed)")
        }
    }

    @Test func `are what the server asks for at first, and at least that later`() {
        var generator = SplitMix(seed: 1)
        var retry = SendRetry(retriesMax: 3)
        #expect(retry.pause(retryAfter: .zero, using: &generator) == .zero)
        #expect(retry.pause(retryAfter: .zero, using: &generator) ?? .zero >= SendRetry.pauseMin)
        #expect(retry.pause(retryAfter: .seconds(100), using: &generator) == .seconds(100))
    }
}

@Suite struct `The totals` {
    @Test func `are told in groups of three digits and add up`() {
        var totals = SendTotals(read: 1_234_567, stored: 1_000_000, duplicates: 34_567, rejected: 200_000)
        #expect(totals.isComplete)
        #expect(
            totals.summary(after: .milliseconds(2_550))
                == "1,234,567 events: 1,000,000 stored, 34,567 duplicates, 200,000 rejected "
                + "(2.5 s, 484,144 events/s)"
        )
        totals.read += 1
        #expect(!totals.isComplete)
        totals.unacknowledged = 1
        #expect(
            totals.summary(after: .zero).hasSuffix("200,000 rejected, 1 not acknowledged (0.0 s, 0 events/s)")
        )
        #expect(SendTotals.grouped(-1_000) == "-1,000")
        #expect(SendTotals.grouped(-100) == "-100")
        #expect(SendTotals.grouped(0) == "0")
    }
}
