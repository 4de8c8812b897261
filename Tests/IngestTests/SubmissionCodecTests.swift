import Events
import Postgres
import Reactor
import Spool
import TestSupport
import Testing

@testable import Ingest

@Suite struct `Submission codec` {
    private static let texts =
        Decoded.dated(0..<3) + Decoded.undated(0..<3) + Decoded.fresh([1]) + [
            #"{"id":"0199b2c4-7d1e-7a3b-9c55-1234567890ab","type":"t","data":null,"note":"an extension"}"#,
            #"{"id":"b","type":"t","data_base64":"AAH/"}"#, #"{"type":7}"#, "nonsense",
        ]

    /// What the database is given for a submission, byte by byte.
    private static func rows(_ submissions: [Submission]) -> [UInt8] {
        let plan = FlushPlan(submissions, recent: RecentKeys(capacity: 1))
        let encoder = FlushEncoder(plan: plan, rows: plan.rows, firstSeq: 1)
        let copies = [encoder.events(forStaging: true), encoder.rejects()]
        return copies.flatMap { Array($0.bytes) } + encoder.jobLines { _ in true }
    }

    @Test func `keeps everything that is stored, key and time of each event above all`() throws {
        var submission = Decoded.submission(Self.texts)
        submission.aborted = 3
        submission.sender = 7
        submission.route = .replay
        submission.trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        submission.decoding = DecodingMode(isStrict: true, defaultSource: "/shop")
        let entries = SubmissionCodec.encode(submission, mark: 7)
        let decoded = try #require(SubmissionCodec.decode(entries[0].payload))

        #expect(entries.count == 1 && entries[0].mark == 7)
        #expect(entries[0].events == Self.texts.count + 3)
        #expect(Self.rows([decoded]) == Self.rows([submission]))
        #expect(decoded.events.map(\.identity) == submission.events.map(\.identity))
        #expect(decoded.rejections == submission.rejections)
        #expect(decoded.bytes == submission.bytes && decoded.aborted == 3)
        #expect(decoded.route == .replay)
        #expect(decoded.sender == 7 && decoded.trace == submission.trace)
        #expect(decoded.decoding == submission.decoding)
        #expect(decoded.requestID == submission.requestID && decoded.receivedAt == submission.receivedAt)
        for (before, after) in zip(submission.arena.records, decoded.arena.records) {
            #expect(
                RefusedEvent.text(of: after, in: decoded.arena)
                    == RefusedEvent.text(of: before, in: submission.arena)
            )
        }
    }

    @Test func `cuts what is large into records, but for an atomic one`() {
        var submission = Decoded.submission(Decoded.dated(0..<2_000) + ["{}"])
        let entries = SubmissionCodec.encode(submission, mark: 0)
        let decoded = entries.compactMap { SubmissionCodec.decode($0.payload) }
        #expect(entries.count > 2 && decoded.count == entries.count)
        #expect(Self.rows(decoded) == Self.rows([submission]))
        #expect(decoded.reduce(0) { $0 + $1.bytes } == submission.bytes)
        #expect(entries.reduce(0) { $0 + $1.events } == 2_001)

        submission.isAtomic = true
        let whole = SubmissionCodec.encode(submission, mark: 0)
        #expect(whole.count == 1)
        #expect(SubmissionCodec.decode(whole[0].payload)?.isAtomic == true)
    }

    @Test func `refuses what it did not write`() throws {
        let payload = SubmissionCodec.encode(Decoded.submission(Self.texts), mark: 0)[0].payload
        for count in 0..<payload.count {
            #expect(SubmissionCodec.decode(Array(payload[..<count])) == nil, "cut at \(count)")
        }
        #expect(SubmissionCodec.decode(payload + [0]) == nil)
        #expect(SubmissionCodec.decode([2] + payload.dropFirst()) == nil, "another version")
    }
}
