import Foundation
import Postgres
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Atomic request` {
    private static func array(_ texts: [String]) -> String { "[" + texts.joined(separator: ",") + "]" }
    private static let poison =
        #"{"id":"bad","type":"poison","source":"/test","time":"2026-01-02T03:04:05Z"}"#

    @Test func `stores all of its events and counts duplicates as ever`() async throws {
        try await Service.with { service, _ in
            let texts = Decoded.dated(0..<5) + Decoded.undated(0..<2) + Decoded.fresh(0..<2)
            let first = try await service.post(Self.array(texts), query: "?atomic=true")
            #expect(first.status == 200)
            #expect(try first.counts() == [9, 9, 0, 0])
            #expect((try first.json()["ids"] as? [Any])?.count == 2)

            let again = try await service.post(
                Self.array(Decoded.dated(0..<6)),
                query: "?atomic=true&verdicts=all"
            )
            #expect(try again.counts() == [6, 1, 5, 0])
            #expect(try await service.installation.number("SELECT count(*) FROM events") == 10)
        }
    }

    @Test func `stores none of them when one is refused, and says which`() async throws {
        try await Service.with { service, _ in
            let texts = Decoded.dated([0]) + [#"{"id":"broken"}"#] + Decoded.fresh([1])
            let answer = try await service.post(Self.array(texts), query: "?atomic=true&verdicts=all")

            #expect(answer.status == 422)
            #expect(try answer.counts() == [3, 0, 0, 3])
            #expect(try answer.errorCodes() == ["atomic_aborted", "missing_type", "atomic_aborted"])
            #expect(try answer.json()["ids"] == nil)
            let verdicts = try #require(try answer.json()["verdicts"] as? [[String: Any]])
            #expect(verdicts.map { $0["result"] as? String } == ["rejected", "rejected", "rejected"])
            #expect(try await service.installation.number("SELECT count(*) FROM events") == 0)
            // Nothing is wrong with the others.
            #expect(try await service.installation.sql("SELECT id FROM rejects") == [["broken"]])
            let totals = try await service.installation.totals()
            #expect(totals.rejected == 3 && totals.stored == 0 && totals.duplicates == 0)

            let dry = try await service.post(Self.array(texts), query: "?atomic=true&validate=only")
            #expect(dry.status == 422)
            #expect(try dry.counts() == [3, 0, 0, 3])
            #expect(try await service.installation.totals() == totals)

            let alone = try await service.post(Decoded.dated([0])[0], query: "?atomic=true")
            #expect(try alone.counts() == [1, 1, 0, 0])
        }
    }

    @Test func `stores none of them when PostgreSQL refuses one, wherever it stands`() async throws {
        try await Service.with { service, _ in
            let installation = service.installation
            try await installation.sql(
                "ALTER TABLE events ADD CONSTRAINT no_poison CHECK (type <> 'poison')"
            )
            for position in [0, 3, 8] {
                var texts = Decoded.dated(0..<4) + Decoded.undated(0..<4)
                texts.insert(Self.poison, at: position)
                let answer = try await service.post(Self.array(texts), query: "?atomic=true")

                #expect(answer.status == 422)
                #expect(try answer.counts() == [9, 0, 0, 9])
                var codes = [String?](repeating: "atomic_aborted", count: 8)
                codes.insert("refused_by_database", at: position)
                #expect(try answer.errorCodes() == codes)
            }
            #expect(try await installation.number("SELECT count(*) FROM events") == 0)
            #expect(try await installation.number("SELECT count(*) FROM event_keys") == 0)
            #expect(try await installation.number("SELECT count(*) FROM rejects WHERE id = 'bad'") == 3)
            let totals = try await installation.totals()
            #expect(totals.rejected == 27 && totals.stored == 0 && totals.duplicates == 0)

            // Not remembered as stored either.
            let rest = try await service.post(
                Self.array(Decoded.dated(0..<4) + Decoded.undated(0..<4)),
                query: "?atomic=true"
            )
            #expect(try rest.counts() == [8, 8, 0, 0])
        }
    }

    /// Its neighbours in the queue wait for the same writer, and share neither its transaction nor its fate.
    @Test func `neither harms its neighbours nor is harmed by them`() async throws {
        try await Service.with { service, _ in
            let installation = service.installation
            try await installation.sql(
                "ALTER TABLE events ADD CONSTRAINT no_poison CHECK (type <> 'poison')"
            )
            for round in 0..<10 {
                let base = round * 10
                async let aborted = service.post(
                    Self.array(Decoded.dated(base..<base + 3) + [Self.poison]),
                    query: "?atomic=true"
                )
                async let neighbour = service.post(Self.array(Decoded.dated(base + 3..<base + 6)))
                async let whole = service.post(
                    Self.array(Decoded.dated(base + 6..<base + 9)),
                    query: "?atomic=true"
                )
                #expect(try await aborted.counts() == [4, 0, 0, 4])
                #expect(try await neighbour.counts() == [3, 3, 0, 0])
                #expect(try await whole.counts() == [3, 3, 0, 0])
            }
            #expect(try await installation.number("SELECT count(*) FROM events") == 60)
        }
    }

    @Test func `is refused for a body that is streamed`() async throws {
        try await Service.with { service, _ in
            let answer = try await service.post(
                Decoded.dated([1])[0],
                type: "application/x-ndjson",
                query: "?atomic=true"
            )
            #expect(answer.status == 400)
            #expect(try answer.code() == "invalid_parameter")
            #expect(try await service.installation.totals() == Totals())
        }
    }
}
