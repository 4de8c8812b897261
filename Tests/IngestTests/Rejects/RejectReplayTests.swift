import Events
import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Reject replay` {
    @Test func `stores what is valid now, leaves the rest, and moves what it stores in the totals`()
        async throws
    {
        try await RejectDesk.with { desk in
            let installation = desk.installation
            try await desk.node.expect(.stored, of: Decoded.dated([0]))
            try await desk.refuse(
                Decoded.dated(0..<5) + Decoded.undated(0..<3) + Decoded.fresh(0..<2) + ["{}", "no json"]
                    + Decoded.dated([4])
            )
            let before = try await installation.totals()
            #expect(before.stored == 1 && before.rejected == 13)

            let outcome = try await desk.replay()

            #expect(outcome.counts == [13, 9, 2, 2, 0] && outcome.after == nil)
            #expect(outcome.errors.map(\.rejection.code) == [.missingType, .malformedJSON])
            var after = before
            after.stored += 9
            after.duplicates += 2
            after.rejected -= 11
            #expect(try await installation.totals() == after)
            #expect(try await installation.number("SELECT count(*) FROM events") == 10)
            #expect(
                try await installation.sql("SELECT convert_from(raw, 'UTF8') FROM rejects ORDER BY n")
                    == [["{}"], ["no json"]]
            )
            #expect(desk.node.log.parts.reduce(0) { $0 + $1.lines.count { $0 == 10 } } == 10, "job lines")

            let everything = try await installation.everything()
            #expect(try await desk.replay().counts == [2, 0, 0, 2, 0])
            #expect(try await installation.everything() == everything, "once more changes nothing")
        }
    }

    @Test func `writes down who has replayed what`() async throws {
        try await RejectDesk.with { desk in
            try await desk.refuse(Decoded.dated(0..<2) + ["{}"])
            let numbers = try await desk.numbers()
            _ = try await desk.replay()

            let rows = try await desk.installation.sql(
                "SELECT actor, action, target, detail, request_id FROM audit"
            )
            let detail = #"{"last": \#(numbers[1]), "first": \#(numbers[0]), "rejects": 2}"#
            #expect(rows == [["key:'1'", "reject.replay", "rejects", detail, "replay"]])
        }
    }

    @Test func `keeps when events were received, and takes that for the time of those without one`()
        async throws
    {
        try await RejectDesk.with { desk in
            // Within yesterday's partition at any time of the day.
            let received = WallClock.microseconds() - 3_600_000_000
            try await desk.refuse(Decoded.undated([1]) + Decoded.fresh([2]), receivedAt: received)
            #expect(try await desk.replay().counts == [2, 2, 0, 0, 0])

            let moments = try await desk.installation.sql(
                """
                SELECT (extract(epoch FROM ts) * 1000000)::bigint,
                       (extract(epoch FROM received_at) * 1000000)::bigint
                  FROM events
                """
            )
            #expect(moments == [["\(received)", "\(received)"], ["\(received)", "\(received)"]])
            // The same event sent again meets it.
            try await desk.node.expect(.duplicate, of: Decoded.undated([1]))
        }
    }

    @Test func `takes what was too early once its time has come`() async throws {
        try await RejectDesk.with { desk in
            let now = WallClock.microseconds()
            let time = String(decoding: Timestamp.format(now), as: UTF8.self)
            let early = #"{"id":"early","type":"t","time":"\#(time)"}"#
            _ = try await desk.node.store([early], receivedAt: now - 2 * 3_600_000_000)
            #expect(try await desk.installation.sql("SELECT code FROM rejects") == [["time_in_future"]])

            #expect(try await desk.replay().counts == [1, 1, 0, 0, 0])
        }
    }

    @Test func `decodes each event as its request did`() async throws {
        try await RejectDesk.with { desk in
            let lenient = #"{"id":"1","type":"t"}"#
            try await desk.refuse([lenient], decoding: DecodingMode(isStrict: true, defaultSource: "/shop"))
            try await desk.refuse([lenient], decoding: DecodingMode(isStrict: false, defaultSource: "/shop"))
            try await desk.refuse([#"{"id":"2","type":"t"}"#])
            #expect(
                try await desk.installation.sql(
                    "SELECT strict, default_source, key_id FROM rejects ORDER BY n"
                )
                    == [["t", "/shop", "7"], ["f", "/shop", "7"], ["f", nil, "7"]]
            )

            let outcome = try await desk.replay()

            #expect(outcome.counts == [3, 2, 0, 1, 0])
            #expect(outcome.errors.map(\.rejection.code) == [.missingSource])
            #expect(
                try await desk.installation.sql("SELECT id, source FROM events ORDER BY id")
                    == [["1", "/shop"], ["2", "/"]]
            )
            #expect(try await desk.installation.sql("SELECT strict FROM rejects") == [["t"]])
        }
    }

    @Test func `changes nothing in a dry run, and says what would be stored`() async throws {
        try await RejectDesk.with { desk in
            try await desk.refuse(Decoded.dated(0..<3) + Decoded.undated([1]) + Decoded.fresh([1]) + ["{}"])
            let before = try await desk.installation.everything()

            #expect(try await desk.replay(isDryRun: true).counts == [6, 5, 0, 1, 0])

            #expect(try await desk.installation.everything() == before)
            #expect(try await desk.replay().counts == [6, 5, 0, 1, 0])
        }
    }

    @Test func `leaves what PostgreSQL refuses, alone of all`() async throws {
        try await RejectDesk.with { desk in
            let installation = desk.installation
            try await installation.sql("ALTER TABLE events ADD CONSTRAINT no_poison CHECK (type <> 'poison')")
            let poison = #"{"id":"bad","type":"poison","source":"/test","time":"2026-01-02T03:04:05Z"}"#
            try await desk.refuse(
                Decoded.dated(0..<6) + [poison] + Decoded.undated(0..<4) + [poison] + Decoded.fresh(0..<3)
            )
            let numbers = try await desk.numbers()

            let outcome = try await desk.replay()

            #expect(outcome.counts == [15, 13, 0, 2, 0])
            #expect(outcome.errors.map(\.n) == [numbers[6], numbers[11]])
            #expect(outcome.errors.allSatisfy { $0.rejection.code == .refusedByDatabase })
            #expect(try await desk.numbers() == [numbers[6], numbers[11]], "as they were")
            let totals = try await installation.totals()
            #expect(totals.stored == 13 && totals.rejected == 2 && totals.duplicates == 0)

            try await installation.sql("ALTER TABLE events DROP CONSTRAINT no_poison")
            #expect(try await desk.replay().counts == [2, 1, 1, 0, 0])
        }
    }

    @Test func `never takes the beginning of an event for the event`() async throws {
        try await RejectDesk.with { desk in
            let whole = #"{"id":"whole","type":"t"}"#
            let spaces = String(repeating: " ", count: desk.routes.decoder.limits.rejectBytesMax)
            // What is kept of it is an event and spaces.
            try await desk.refuse([whole + spaces + "and more"])

            let outcome = try await desk.replay()

            #expect(outcome.counts == [1, 0, 0, 1, 0])
            #expect(outcome.errors.map(\.rejection.code) == [.eventTooLarge])
            #expect(try await desk.installation.number("SELECT count(*) FROM events") == 0)
        }
    }

    @Test func `does a bounded part at a time and goes on behind it`() async throws {
        var limits = ReplayLimits()
        limits.countMax = 10
        limits.pageCountMax = 4
        limits.errorsMax = 3
        try await RejectDesk.with(limits: limits) { desk in
            // More that stay than one call looks at: the next one must not meet them again.
            try await desk.refuse(Array(repeating: "{}", count: 12) + Decoded.dated(0..<13))
            let numbers = try await desk.numbers()
            var sums = [0, 0, 0, 0, 0]
            var ends: [Int64?] = []
            var after: Int64 = 0
            repeat {
                let outcome = try await desk.replay(after: after)
                sums = zip(sums, outcome.counts).map { $0 + $1 }
                ends.append(outcome.after)
                #expect(outcome.matched <= 10 && outcome.errors.count <= 3)
                after = outcome.after ?? .max
            } while after < .max
            #expect(sums == [25, 13, 0, 12, 0])
            #expect(ends == [numbers[9], numbers[19], nil])
        }
    }

    @Test func `does no more at a time than so many bytes, and always something`() async throws {
        var limits = ReplayLimits()
        limits.pageBytesMax = 1
        limits.bytesMax = 1
        try await RejectDesk.with(limits: limits) { desk in
            try await desk.refuse(Decoded.dated(0..<3))
            let numbers = try await desk.numbers()
            let outcome = try await desk.replay()
            #expect(outcome.counts == [1, 1, 0, 0, 0] && outcome.after == numbers[0])
        }
    }

    @Test func `takes those that are named, and says which are gone`() async throws {
        var limits = ReplayLimits()
        limits.countMax = 2
        try await RejectDesk.with(limits: limits) { desk in
            try await desk.refuse(Decoded.dated(0..<4))
            let numbers = try await desk.numbers()
            try await desk.routes.store.delete(numbers[2], by: "a", requestID: "r")
            var filter = RejectFilter()
            filter.ids = [numbers[0], numbers[2], numbers[3], numbers[3] + 100]

            let first = try await desk.replay(filter)
            #expect(first.counts == [3, 2, 0, 0, 1] && first.after == numbers[3])
            #expect(try await desk.replay(filter, after: numbers[3]).counts == [1, 0, 0, 0, 1])
            #expect(try await desk.numbers() == [numbers[1]])
            filter.ids = []
            #expect(try await desk.replay(filter).counts == [0, 0, 0, 0, 0])
        }
    }

    @Test func `is found by code and by when it was received`() async throws {
        try await RejectDesk.with { desk in
            let now = WallClock.microseconds()
            try await desk.refuse(Decoded.dated([0]), receivedAt: now - 1_000_000)
            try await desk.refuse(Decoded.dated([1]) + ["{}"], receivedAt: now)
            var filter = RejectFilter()
            filter.code = .typeNotAllowed
            filter.from = now - 1_000_000
            filter.to = now
            #expect(try await desk.replay(filter).counts == [1, 1, 0, 0, 0])
            filter.to = now + 1
            #expect(try await desk.replay(filter).counts == [1, 1, 0, 0, 0])
            filter.code = .missingType
            #expect(try await desk.replay(filter).counts == [1, 0, 0, 1, 0])
        }
    }
}
