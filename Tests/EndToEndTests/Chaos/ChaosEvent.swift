import TestSupport

/// One event of a round: it carries a mark that is found again in the table or among the rejects, also where
/// it has no id.
struct ChaosEvent: Sendable {
    enum Identity: CaseIterable, Sendable {
        /// An id and a time.
        case dated
        /// An id, so that the table of keys decides.
        case undated
        /// An id that tells its time.
        case uuid
        /// Neither: whatever is sent twice is two events.
        case none
        case noneDated
    }

    let mark: String
    let identity: Identity
    /// Whether it is to be stored, rather than kept as a reject.
    let isValid: Bool
    /// One line of JSON with its end.
    let line: [UInt8]

    /// Whether the same event sent again is a duplicate.
    var hasIdentity: Bool {
        switch identity {
        case .dated, .undated, .uuid: true
        case .none, .noneDated: false
        }
    }

    static func make(_ mark: String, now: Int64, _ random: inout SplitMix) -> ChaosEvent {
        let identity = Identity.allCases.randomElement(using: &random) ?? .dated
        let isValid = Int.random(in: 0..<40, using: &random) > 0
        var fields = [
            #""type":"\#(isValid ? "chaos.\(Int.random(in: 0..<5, using: &random))" : "")""#,
            #""source":"/chaos/\#(Int.random(in: 0..<3, using: &random))""#,
            #""subject":"s\#(Int.random(in: 0..<50, using: &random))""#,
        ]
        switch identity {
        case .dated: fields += [#""id":"\#(mark)""#, time(&random)]
        case .undated: fields.append(#""id":"\#(mark)""#)
        case .uuid: fields.append(#""id":"\#(uuid(now, &random))""#)
        case .none: break
        case .noneDated: fields.append(time(&random))
        }
        let filling = String(repeating: "x", count: Int.random(in: 0..<300, using: &random))
        let number = Int.random(in: 0..<1_000, using: &random)
        fields.append(#""data":{"mark":"\#(mark)","n":\#(number),"filling":"\#(filling)"}"#)
        return ChaosEvent(
            mark: mark,
            identity: identity,
            isValid: isValid,
            line: Array("{\(fields.joined(separator: ","))}\n".utf8)
        )
    }

    private static func time(_ random: inout SplitMix) -> String {
        let minute = Int.random(in: 0..<5, using: &random)
        let second = Int.random(in: 10..<60, using: &random)
        return
            #""time":"2026-01-02T03:0\#(minute):\#(second).\#(Int.random(in: 100..<1_000, using: &random))Z""#
    }

    /// A UUIDv7 of this moment (RFC 9562 5.7); `now` in microseconds.
    private static func uuid(_ now: Int64, _ random: inout SplitMix) -> String {
        func hex(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: digits - text.count) + text
        }
        let time = hex(UInt64(now / 1_000), 12)
        let (high, low) = (random.next(), random.next())
        return "\(time.prefix(8))-\(time.suffix(4))-7\(hex(high & 0xFFF, 3))"
            + "-\(hex(0x8000 | low >> 48 & 0x3FFF, 4))-\(hex(low & 0xFFFF_FFFF_FFFF, 12))"
    }
}
