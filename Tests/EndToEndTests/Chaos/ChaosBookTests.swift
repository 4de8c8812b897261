import TestSupport
import Testing

extension `End to end` {
    /// The comparison itself: a harness that finds nothing wrong proves nothing unless it can.
    @Suite struct `Chaos book` {
        private static func event(_ mark: String, _ identity: ChaosEvent.Identity = .dated) -> ChaosEvent {
            ChaosEvent(mark: mark, identity: identity, isValid: true, line: [])
        }

        private static let events = [event("a"), event("b"), event("c", .none)]

        private static func answer(stored: Int, duplicates: Int = 0) -> IngestAnswer {
            IngestAnswer(received: stored + duplicates, stored: stored, duplicates: duplicates, rejected: 0)
        }

        private static func facts(_ rows: [String: Int], duplicates: Int = 0) -> ChaosBook.Facts {
            let stored = rows.values.reduce(0, +)
            return ChaosBook.Facts(
                rows: rows,
                totals: Stats.Totals(
                    received: stored + duplicates,
                    stored: stored,
                    duplicates: duplicates,
                    rejected: 0
                )
            )
        }

        /// A book in which three events were sent in one request, and acknowledged.
        private static func acknowledged() -> ChaosBook {
            var book = ChaosBook()
            let number = book.begin("array", events, at: .zero)
            book.answer(number, answer(stored: 3))
            return book
        }

        @Test func `finds nothing where every event is stored once`() {
            #expect(Self.acknowledged().findings(Self.facts(["a": 1, "b": 1, "c": 1])).isEmpty)
        }

        @Test(arguments: [
            ["a": 1, "b": 1], ["a": 2, "b": 1, "c": 1], ["a": 1, "b": 1, "c": 2],
            ["a": 1, "b": 1, "c": 1, "d": 1],
        ])
        func `finds what is lost, stored twice or never sent`(rows: [String: Int]) {
            #expect(Self.acknowledged().findings(Self.facts(rows)).count == 1)
        }

        @Test func `leaves open what was not answered, and asks no more of the rest`() {
            var book = Self.acknowledged()
            _ = book.begin("array", [Self.event("a"), Self.event("d"), Self.event("e", .none)], at: .zero)
            for (rows, duplicates) in [
                (["a": 1, "b": 1, "c": 1], 0), (["a": 1, "b": 1, "c": 1, "d": 1, "e": 1], 1),
            ] {
                #expect(book.findings(Self.facts(rows, duplicates: duplicates)).isEmpty)
            }
            let twice = Self.facts(["a": 1, "b": 1, "c": 1, "e": 2], duplicates: 1)
            #expect(book.findings(twice).count == 1)
        }

        @Test func `finds an answer that calls a first copy a duplicate, or a known one new`() {
            var book = ChaosBook()
            let first = book.begin("array", Self.events, at: .zero)
            book.answer(first, Self.answer(stored: 2, duplicates: 1))
            #expect(book.complaints.count == 1)
            let second = book.begin("single", [Self.event("a")], at: .zero)
            book.answer(second, Self.answer(stored: 1))
            #expect(book.complaints.count == 2)
        }

        @Test func `finds totals that are not those of the table and of the answers`() {
            let book = Self.acknowledged()
            var facts = Self.facts(["a": 1, "b": 1, "c": 1])
            facts.totals.received += 1
            #expect(book.findings(facts).count == 1)
            facts.totals.duplicates += 1
            #expect(book.findings(facts).count == 1)
            facts.totals.stored += 1
            facts.totals.duplicates -= 1
            #expect(book.findings(facts).count == 1)
        }

        @Test func `takes the lines of a streamed answer for what they cover, and no more`() {
            var book = ChaosBook()
            let number = book.begin("lines", Self.events, at: .zero)
            book.acknowledge(number, upTo: 1)
            book.acknowledge(number, upTo: 2)
            #expect(book.findings(Self.facts(["a": 1, "b": 1])).isEmpty)
            #expect(book.findings(Self.facts(["a": 1])).count == 1)
            book.acknowledge(number, upTo: 4)
            #expect(book.complaints.count == 1)
        }

        @Test func `draws the same plan from the same seed`() {
            for seed in UInt64(1)...40 {
                #expect("\(ChaosPlan(seed: seed))" == "\(ChaosPlan(seed: seed))")
                #expect("\(ChaosPlan(seed: seed))" != "\(ChaosPlan(seed: seed + 8))")
            }
        }
    }
}
