import Events
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `keeps one poison of each kind as a reject and stores all its neighbours, in one request`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve(["--retention", "36500"])
            let keys = KeyDesk(installation: installation, url: service.url)
            let root = try await keys.create(["--name", "root", "--scope", "admin"])
            let key = try await keys.create(
                ["--name", "shop", "--scope", "write", "--type", "order", "--type", "poison"],
                key: root
            )
            // Nothing that a client can send is known to get past the checks: this stands for what is not.
            try await installation.query(
                "ALTER TABLE events ADD CONSTRAINT no_poison CHECK (type <> 'poison')"
            )

            var kinds = 0
            for code in RejectCode.allCases {
                guard let poison = Poison(code) else { continue }
                kinds += 1
                let answer = try await poison.send(to: service, key: key)

                try #require(answer.status == 200, "\(code): \(answer.status) \(answer.text.prefix(300))")
                let counts = try answer.decode(PoisonAnswer.self)
                #expect(
                    counts.received == poison.count && counts.stored == poison.count - 1
                        && counts.rejected == 1,
                    "\(code): \(counts)"
                )
                let reason = counts.errors.first
                #expect(
                    reason?.code == code.rawValue && reason?.index == poison.position,
                    "\(code): \(counts)"
                )
                // What PostgreSQL has refused is written out anew.
                let isKeptAsSent = code != .refusedByDatabase
                #expect(
                    try await installation.query(
                        "DELETE FROM rejects RETURNING code, raw = $1::bytea",
                        [poison.hex]
                    ) == [[code.rawValue, isKeptAsSent ? "t" : "f"]],
                    "\(code)"
                )
                #expect(
                    try await installation.number(
                        "SELECT count(*) FROM events WHERE id LIKE $1",
                        ["\(code.rawValue)-%"]
                    ) == poison.count - 1
                )
            }
            #expect(kinds == RejectCode.allCases.count - 2)
        }
    }
}

/// An event that is refused with a certain code, and the request that it comes in.
private struct Poison {
    let code: RejectCode
    /// Events of its request: many where finding it takes PostgreSQL, or where a line is all there is of it.
    let count: Int
    /// Among the events of its request.
    let position: Int
    private let text: [UInt8]
    /// Whether it is refused only in a batch that keeps every MUST of CloudEvents.
    private let isStrict: Bool

    /// `nil` for what is not one event's fault, or cannot come of a request yet.
    init?(_ code: RejectCode) {
        self.code = code
        guard let text = Self.text(code) else { return nil }
        self.text = text
        switch code {
        case .missingID, .missingSource, .missingSpecversion: isStrict = true
        default: isStrict = false
        }
        var random = SplitMix(seed: UInt64(RejectCode.allCases.firstIndex(of: code) ?? 0))
        count = code == .refusedByDatabase || code == .malformedJSON ? 10_000 : 1_000
        position = Int.random(in: 0..<count, using: &random)
    }

    private static func text(_ code: RejectCode) -> [UInt8]? {
        let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        let text: String? =
            switch code {
            case .malformedJSON: #"{"type":"order""#
            case .notAnObject: "[]"
            case .eventTooLarge: #"{"type":"order","data":"\#(String(repeating: "x", count: 262_144))"}"#
            case .invalidUnicode: #"{"type":"order","data":"\ud800"}"#
            case .unstorableText: #"{"type":"order","data":"\u0000"}"#
            case .tooDeep: #"{"type":"order","data":\#(deep)}"#
            case .numberOutOfRange: #"{"type":"order","data":1e500}"#
            case .duplicateKey: #"{"type":"order","type":"order"}"#
            case .missingType: "{}"
            case .missingID: #"{"specversion":"1.0","type":"order","source":"/shop"}"#
            case .missingSource: #"{"specversion":"1.0","type":"order","id":"1"}"#
            case .missingSpecversion: #"{"type":"order","source":"/shop","id":"1"}"#
            case .invalidSpecversion: #"{"type":"order","specversion":"0.3"}"#
            case .invalidType: #"{"type":7}"#
            case .typeNotAllowed: #"{"type":"order.lost"}"#
            case .invalidSource: #"{"type":"order","source":""}"#
            case .invalidID: #"{"type":"order","id":7}"#
            case .invalidSubject: #"{"type":"order","subject":{}}"#
            case .invalidTime: #"{"type":"order","time":"2026-01-02"}"#
            case .timeInFuture: #"{"type":"order","time":"9999-01-02T03:04:05Z"}"#
            case .timeTooOld: #"{"type":"order","time":"1801-01-02T03:04:05Z"}"#
            case .invalidAttribute: #"{"type":"order","colour":{}}"#
            case .invalidData: #"{"type":"order","data_base64":"@@@"}"#
            case .refusedByDatabase: #"{"type":"poison","id":"bad","time":"2026-01-02T03:04:05Z"}"#
            case .schemaViolation, .atomicAborted: nil
            }
        return text.map { Array($0.utf8) }
    }

    /// As PostgreSQL reads bytes.
    var hex: String {
        var hex = "\\x"
        for byte in text {
            hex += String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        return hex
    }

    func send(to service: RunningService, key: String) async throws -> WireAnswer {
        let type = isStrict ? "application/cloudevents-batch+json" : "application/x-ndjson"
        return try await service.connect { connection in
            try await connection.send(
                "POST",
                "/v1/events",
                fields: [("Content-Type", type), ("X-API-Key", key)],
                body: body
            )
        }
    }

    private var body: [UInt8] {
        var body: [UInt8] = isStrict ? [UInt8(ascii: "[")] : []
        let separator = UInt8(ascii: isStrict ? "," : "\n")
        for number in 0..<count {
            if number > 0 { body.append(separator) }
            if number == position {
                body += text
            } else {
                let minute = number % 60 < 10 ? "0\(number % 60)" : "\(number % 60)"
                body += Array(
                    """
                    {"specversion":"1.0","id":"\(code.rawValue)-\(number)","source":"/shop","type":"order",\
                    "time":"2026-01-02T03:\(minute):05Z"}
                    """.utf8
                )
            }
        }
        return body + (isStrict ? [UInt8(ascii: "]")] : [])
    }
}

/// What `POST /v1/events` answers, with its reasons.
private struct PoisonAnswer: Decodable {
    struct Reason: Decodable {
        var index: Int
        var code: String
    }

    var received: Int
    var stored: Int
    var rejected: Int
    var errors: [Reason]
}
