/// A request method; its token as it came is `head.bytes[head.methodRange]`.
package enum Method: String, CaseIterable, Equatable, Sendable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case delete = "DELETE"
    case options = "OPTIONS"
    case patch = "PATCH"
    case connect = "CONNECT"
    case trace = "TRACE"
    /// A token that is none of these: the router answers 501.
    case other = ""

    /// The spelling for an `Allow` field.
    package var name: String { rawValue }

    /// Methods are case-sensitive (RFC 9110 9.1).
    init(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        guard range.count <= 7 else {
            self = .other
            return
        }
        var key: UInt64 = 0
        for index in range { key = key << 8 | UInt64(bytes[index]) }
        self =
            switch key {
            case 0x47_45_54: .get
            case 0x48_45_41_44: .head
            case 0x50_4F_53_54: .post
            case 0x50_55_54: .put
            case 0x44_45_4C_45_54_45: .delete
            case 0x4F_50_54_49_4F_4E_53: .options
            case 0x50_41_54_43_48: .patch
            case 0x43_4F_4E_4E_45_43_54: .connect
            case 0x54_52_41_43_45: .trace
            default: .other
            }
    }
}
