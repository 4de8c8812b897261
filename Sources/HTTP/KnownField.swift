/// A request field that the server looks at; the parser files these, so that finding one costs nothing.
///
/// The raw value is the field's bit in ``RequestHead``'s masks.
package enum KnownField: UInt8, CaseIterable, Equatable, Sendable {
    case host, connection, contentLength, transferEncoding, contentType, contentEncoding
    case accept, acceptEncoding, expect, authorization, apiKey, requestID, traceparent
    case userAgent, origin, lastEventID, specversion, requestMethod, requestHeaders
    case ifNoneMatch, forwarded, forwardedFor, forwardedProto

    /// The name in lower case.
    package var name: String {
        switch self {
        case .host: "host"
        case .connection: "connection"
        case .contentLength: "content-length"
        case .transferEncoding: "transfer-encoding"
        case .contentType: "content-type"
        case .contentEncoding: "content-encoding"
        case .accept: "accept"
        case .acceptEncoding: "accept-encoding"
        case .expect: "expect"
        case .authorization: "authorization"
        case .apiKey: "x-api-key"
        case .requestID: "x-request-id"
        case .traceparent: "traceparent"
        case .userAgent: "user-agent"
        case .origin: "origin"
        case .lastEventID: "last-event-id"
        case .specversion: "ce-specversion"
        case .requestMethod: "access-control-request-method"
        case .requestHeaders: "access-control-request-headers"
        case .ifNoneMatch: "if-none-match"
        case .forwarded: "forwarded"
        case .forwardedFor: "x-forwarded-for"
        case .forwardedProto: "x-forwarded-proto"
        }
    }

    var bit: UInt32 { 1 << UInt32(rawValue) }

    /// Whether two lines of it are an error, because which one counts would be an attacker's choice.
    var isSingleton: Bool {
        switch self {
        case .host, .contentType, .authorization: true
        default: false
        }
    }

    /// Finds the field by length and first letter; one comparison of names decides.
    static func find(_ bytes: Span<UInt8>, _ range: Range<Int>) -> KnownField? {
        guard var field = candidate(length: range.count, first: bytes[range.lowerBound] | 0x20) else {
            return nil
        }
        // The only two that share both.
        if field == .contentLength, bytes[range.lowerBound + 1] | 0x20 == UInt8(ascii: "e") {
            field = .specversion
        }
        return bytes.matches(range, lowercased: field.name) ? field : nil
    }

    private static func candidate(length: Int, first: UInt8) -> KnownField? {
        switch (length, first) {
        case (4, UInt8(ascii: "h")): .host
        case (6, UInt8(ascii: "a")): .accept
        case (6, UInt8(ascii: "e")): .expect
        case (6, UInt8(ascii: "o")): .origin
        case (9, UInt8(ascii: "f")): .forwarded
        case (9, UInt8(ascii: "x")): .apiKey
        case (10, UInt8(ascii: "c")): .connection
        case (10, UInt8(ascii: "u")): .userAgent
        case (11, UInt8(ascii: "t")): .traceparent
        case (12, UInt8(ascii: "c")): .contentType
        case (12, UInt8(ascii: "x")): .requestID
        case (13, UInt8(ascii: "a")): .authorization
        case (13, UInt8(ascii: "i")): .ifNoneMatch
        case (13, UInt8(ascii: "l")): .lastEventID
        case (14, UInt8(ascii: "c")): .contentLength
        case (15, UInt8(ascii: "a")): .acceptEncoding
        case (15, UInt8(ascii: "x")): .forwardedFor
        case (16, UInt8(ascii: "c")): .contentEncoding
        case (17, UInt8(ascii: "t")): .transferEncoding
        case (17, UInt8(ascii: "x")): .forwardedProto
        case (29, UInt8(ascii: "a")): .requestMethod
        case (30, UInt8(ascii: "a")): .requestHeaders
        default: nil
        }
    }
}
