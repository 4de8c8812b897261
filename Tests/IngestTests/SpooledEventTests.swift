import Events
import Reactor
import Spool
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(1))) struct `Receipt out of the spool` {
    private static let texts = [
        #"{"id":"a","type":"t","source":"/one","subject":"s","time":"2026-01-02T03:04:05Z"}"#,
        #"{"id":"a","type":"t","source":"/two"}"#, #"{"type":"made"}"#, #"{"id":"bad","type":7}"#,
        #"{"id":"\u0062\u0022","type":"escaped"}"#,
    ]

    @Test func `names the event of that id and source, and where it is not, nothing`() async throws {
        try await TestSpools.with { spool in
            let submission = Decoded.submission(Self.texts, receivedAt: 1_800_000_000_000_000)
            try await SpoolLane(spool: spool).append([submission])
            func receipt(_ id: String, _ source: String? = nil) async -> SpooledReceipt {
                await SpooledEvents.receipt(id: id, source: source, in: spool)
            }
            func event(_ position: Int) -> SpooledReceipt {
                .event(SpooledEvent(submission.events[position], of: submission))
            }

            #expect(await receipt("a", "/one") == event(0))
            #expect(await receipt("a") == event(1), "the last one")
            let made = String(decoding: formatUUID(submission.events[2].key), as: UTF8.self)
            #expect(await receipt(made) == event(2))
            #expect(await receipt(made.uppercased()) == event(2))
            #expect(await receipt("b\"") == event(3))
            let refused = SpooledReceipt.rejection(
                submission.rejections[0],
                receivedAt: 1_800_000_000_000_000
            )
            #expect(await receipt("bad") == refused)
            #expect(await receipt("a", "/three") == .absent)
            #expect(await receipt("A") == .absent)
            guard case .event(let first) = event(0) else { return }
            #expect(first.subject == "s" && first.time == 1_767_323_045_000_000)
        }
    }

    /// Whatever is in a record, each of its ids is found by it.
    @Test func `has a fingerprint for each id of each record`() {
        var submission = Decoded.submission(
            Decoded.dated(0..<1_000) + Decoded.undated(0..<3) + Decoded.fresh([1]) + Self.texts
        )
        submission.sender = 3
        submission.trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let entries = SubmissionCodec.encode(submission, mark: 0)
        #expect(entries.count > 1)
        var ids: [String] = []
        for entry in entries {
            SubmissionCodec.forEachID(in: entry.payload) { ids.append(String(decoding: $0, as: UTF8.self)) }
        }
        let arena = submission.arena
        let expected =
            arena.records.map { String(decoding: arena.bytes[$0.id.range], as: UTF8.self) }
            + submission.rejections.compactMap(\.id)
        #expect(ids.sorted() == expected.sorted())
        for length in 0..<400 {
            // What is cut short has fewer, and does no harm.
            SubmissionCodec.forEachID(in: Array(entries[0].payload.prefix(length))) { _ in }
        }
    }
}
