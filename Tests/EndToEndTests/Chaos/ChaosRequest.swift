import Foundation
import Reactor
import TestSupport

/// One request of a round, and what is learnt from its answer.
struct ChaosRequest: Sendable {
    struct Outcome: Sendable {
        /// How many of its events are acknowledged, from the first on.
        var acknowledged = 0
        /// How many were new, where a whole answer has said so.
        var stored: Int?
        /// Whether the connection can be used again.
        var isWhole = false
    }

    let form: ChaosSender.Form
    let events: [ChaosEvent]
    let field: ChaosField
    let target: ChaosField.Target
    private let seed: UInt64

    init(
        _ form: ChaosSender.Form,
        _ events: [ChaosEvent],
        _ field: ChaosField,
        _ target: ChaosField.Target,
        _ seed: UInt64
    ) {
        self.form = form
        self.events = events
        self.field = field
        self.target = target
        self.seed = seed
    }

    func send(over connection: WireConnection) async -> Outcome {
        let title = "\(form) to service \(target.node), port \(target.port)"
        let number = field.ledger.begin(title, events, at: field.now)
        do throws(WireError) {
            switch form {
            case .single:
                return try await send(events[0].line, number, over: connection)
            case .array, .twins: return try await send(array, number, over: connection)
            case .atomic:
                return try await send(array, number, over: connection, path: "/v1/events?atomic=true")
            case .cutArray: return try await cut(number, connection)
            case .lines: return try await sendLines(number, connection)
            case .acknowledgedLines: return await sendAcknowledged(number, connection)
            }
        } catch {
            field.ledger.giveUp(number, "\(error)")
            return Outcome()
        }
    }

    private var deadline: Deadline { .after(field.answerMax) }

    private var array: [UInt8] {
        var body: [UInt8] = [UInt8(ascii: "[")]
        for event in events {
            if body.count > 1 { body.append(UInt8(ascii: ",")) }
            body += event.line
        }
        return body + [UInt8(ascii: "]")]
    }

    // MARK: Forms

    private func send(
        _ body: [UInt8],
        _ number: Int,
        over connection: WireConnection,
        path: String = "/v1/events"
    ) async throws(WireError) -> Outcome {
        let answer = try await connection.send(
            "POST",
            path,
            fields: RunningService.json,
            body: body,
            deadline: deadline
        )
        return settle(answer, number)
    }

    /// Half of a body, and then the end of the connection.
    private func cut(_ number: Int, _ connection: WireConnection) async throws(WireError) -> Outcome {
        let body = array
        let length = [("Content-Length", "\(body.count)")]
        let half = Array(body.prefix(body.count / 2))
        try await connection.begin(
            "POST",
            "/v1/events",
            fields: RunningService.json + length,
            beginning: half,
            deadline: deadline
        )
        await connection.close()
        field.ledger.giveUp(number, "cut by the client")
        return Outcome()
    }

    private func sendLines(_ number: Int, _ connection: WireConnection) async throws(WireError) -> Outcome {
        try await connection.begin("POST", "/v1/events", fields: RunningService.ndjson, deadline: deadline)
        var random = SplitMix(seed: seed)
        guard try await sendPieces(&random, connection) else {
            await connection.close()
            field.ledger.giveUp(number, "cut by the client")
            return Outcome()
        }
        return settle(try await connection.finish(deadline: deadline), number)
    }

    /// Sends the body in a few chunks that have nothing to do with lines; `false` when it stops on the way.
    private func sendPieces(
        _ random: inout SplitMix,
        _ connection: WireConnection
    ) async throws(WireError) -> Bool {
        let body = events.flatMap(\.line)
        let pieces = Int.random(in: 1...5, using: &random)
        let isCut = !field.plan.isPatient && Int.random(in: 0..<8, using: &random) == 0
        let cut = isCut ? Int.random(in: 0...pieces, using: &random) : nil
        var start = 0
        for piece in 0..<pieces {
            if piece == cut { return false }
            let isLast = piece == pieces - 1
            let end = isLast ? body.count : Int.random(in: start...body.count, using: &random)
            try await connection.send(chunk: Array(body[start..<end]), deadline: deadline)
            start = end
            if Bool.random(using: &random) {
                await field.loop.sleep(for: .milliseconds(Int.random(in: 0...60, using: &random)))
            }
        }
        return cut != pieces
    }

    // MARK: Streamed acknowledgements

    private static let streaming = RunningService.ndjson + [("Accept", "application/x-ndjson")]

    private func sendAcknowledged(_ number: Int, _ connection: WireConnection) async -> Outcome {
        do throws(WireError) {
            try await connection.begin("POST", "/v1/events", fields: Self.streaming, deadline: deadline)
        } catch {
            field.ledger.giveUp(number, "\(error)")
            return Outcome()
        }
        async let reading = readAcknowledgements(number, connection)
        var random = SplitMix(seed: seed)
        do throws(WireError) {
            if try await sendPieces(&random, connection) {
                try await connection.end(deadline: deadline)
            } else {
                await connection.close()
            }
        } catch {
            // The reader learns of it as well.
            await connection.close()
        }
        return await reading
    }

    /// Writes down each line before the next is read.
    private func readAcknowledgements(_ number: Int, _ connection: WireConnection) async -> Outcome {
        var outcome = Outcome()
        do throws(WireError) {
            var head = try await connection.head(deadline: deadline)
            guard head.fields["transfer-encoding"] == "chunked" else {
                head.body = try await connection.body(of: head, deadline: deadline)
                return settle(head, number)
            }
            var text: [UInt8] = []
            while true {
                guard let chunk = try await connection.chunk(deadline: deadline) else {
                    field.ledger.giveUp(number, "a stream that ends without a last line")
                    return outcome
                }
                text += chunk
                while let end = text.firstIndex(of: 10) {
                    let line = AcknowledgedLine.read(Array(text[..<end]))
                    text.removeFirst(end + 1)
                    guard let line else {
                        field.ledger.complain("request \(number): a line that is none")
                        return outcome
                    }
                    if note(line, number, &outcome) { return try await finish(outcome, connection) }
                }
            }
        } catch {
            field.ledger.giveUp(number, "\(error) after line \(outcome.acknowledged)")
            return outcome
        }
    }

    /// Returns whether it was the last line.
    private func note(_ line: AcknowledgedLine, _ number: Int, _ outcome: inout Outcome) -> Bool {
        if let isDone = line.done {
            if isDone, let answer = line.answer {
                field.ledger.answer(number, answer)
                outcome = Outcome(
                    acknowledged: events.count,
                    stored: Self.stored(answer),
                    isWhole: true
                )
            } else {
                field.ledger.giveUp(number, "not done after line \(outcome.acknowledged)")
            }
            return true
        }
        guard let count = line.line, count == line.stored + line.duplicates + line.rejected,
            count >= outcome.acknowledged, count <= events.count
        else {
            field.ledger.complain("request \(number): \(line) of \(events.count)")
            return true
        }
        field.ledger.acknowledge(number, upTo: count)
        outcome.acknowledged = count
        return false
    }

    /// Reads the end of the stream.
    private func finish(_ outcome: Outcome, _ connection: WireConnection) async throws(WireError) -> Outcome {
        var outcome = outcome
        if outcome.isWhole { outcome.isWhole = try await connection.chunk(deadline: deadline) == nil }
        return outcome
    }

    // MARK: Answers

    /// Of what lies in a spool it is not decided yet what is new.
    private static func stored(_ answer: IngestAnswer) -> Int? {
        answer.durability == "committed" ? answer.stored : nil
    }

    private func settle(_ answer: WireAnswer, _ number: Int) -> Outcome {
        switch answer.status {
        case 200, 202, 422:
            do {
                let counts = try answer.decode(IngestAnswer.self)
                field.ledger.answer(number, counts)
                return Outcome(acknowledged: events.count, stored: Self.stored(counts), isWhole: true)
            } catch {
                field.ledger.complain("request \(number): \(answer.status) \(answer.text.prefix(300))")
                return Outcome()
            }
        case 408, 503:
            field.ledger.giveUp(number, "\(answer.status)")
            return Outcome(isWhole: answer.fields["connection"] != "close")
        default:
            field.ledger.complain("request \(number): \(answer.status) \(answer.text.prefix(300))")
            return Outcome()
        }
    }
}

/// A line of a streamed answer.
private struct AcknowledgedLine: Decodable {
    var line: Int?
    var done: Bool?
    var received: Int?
    var stored = 0
    var duplicates = 0
    var rejected = 0
    var durability: String?

    private enum CodingKeys: CodingKey { case line, done, received, stored, duplicates, rejected, durability }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        line = try fields.decodeIfPresent(Int.self, forKey: .line)
        done = try fields.decodeIfPresent(Bool.self, forKey: .done)
        received = try fields.decodeIfPresent(Int.self, forKey: .received)
        stored = try fields.decodeIfPresent(Int.self, forKey: .stored) ?? 0
        duplicates = try fields.decodeIfPresent(Int.self, forKey: .duplicates) ?? 0
        rejected = try fields.decodeIfPresent(Int.self, forKey: .rejected) ?? 0
        durability = try fields.decodeIfPresent(String.self, forKey: .durability)
    }

    static func read(_ text: [UInt8]) -> AcknowledgedLine? {
        try? JSONDecoder().decode(AcknowledgedLine.self, from: Data(text))
    }

    var answer: IngestAnswer? {
        guard let received, let durability else { return nil }
        return IngestAnswer(
            received: received,
            stored: stored,
            duplicates: duplicates,
            rejected: rejected,
            durability: durability
        )
    }
}
