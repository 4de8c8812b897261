/// Which trace a request belongs to: the field `traceparent` (W3C Trace Context, level 1, 3.2).
package struct TraceParent: Equatable, Sendable {
    /// 32 digits in lower case, not all zero.
    package let traceID: String
    /// 16 digits in lower case, not all zero.
    package let parentID: String
    package let isSampled: Bool

    /// The field's value, in the form of version 00.
    package var text: String { "00-\(traceID)-\(parentID)-\(isSampled ? "01" : "00")" }

    /// `nil` for what is not exactly as the standard has it: a trace must be left out rather than guessed.
    package init?(_ bytes: Span<UInt8>) {
        guard bytes.count >= 55, let version = Self.value(bytes, 0..<2), version != 0xFF,
            let flags = Self.value(bytes, 53..<55)
        else { return nil }
        // Later versions may go on behind another dash (3.2.4).
        guard bytes.count == 55 || version > 0 && bytes[55] == Self.dash else { return nil }
        for place in [2, 35, 52] where bytes[place] != Self.dash { return nil }
        guard let traceID = Self.digits(bytes, 3..<35), let parentID = Self.digits(bytes, 36..<52) else {
            return nil
        }
        self.traceID = traceID
        self.parentID = parentID
        isSampled = flags & 1 == 1
    }

    private static let dash = UInt8(ascii: "-")

    private static func value(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int? {
        var value = 0
        for index in range {
            // Upper case is invalid (3.2.2).
            guard let digit = bytes[index].hexValue, bytes[index] == bytes[index].lowercased else {
                return nil
            }
            value = value << 4 | digit
        }
        return value
    }

    /// The digits as they are; `nil` when one is none or all are zero.
    private static func digits(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String? {
        var text: [UInt8] = []
        var isZero = true
        for index in range {
            guard let digit = value(bytes, index..<index + 1) else { return nil }
            if digit != 0 { isZero = false }
            text.append(bytes[index])
        }
        return isZero ? nil : String(decoding: text, as: UTF8.self)
    }
}
